// Package probe measures what a frozen encoder has learned, from the features
// it gives for labelled images:
//
//   - KNN, the weighted nearest neighbours of instance discrimination (Wu et
//     al. 2018), which trains nothing;
//   - Linear, a multinomial logistic regression on standardised features, the
//     field's usual measure;
//   - MLP, one hidden layer with dropout, Deep InfoMax's measure.
//
// FewLabels draws the rows for the setting in which few labels are known, and
// CollectPixels gives the raw pixels, which features have to beat.
//
// Features are gathered from a stream of embeddings by Collect. No image is
// augmented and the encoder never sees a label.
package probe
