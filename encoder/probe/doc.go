// Package probe measures what an encoder has learned, most often from the features
// it gives for labelled images:
//
//   - KNN, the weighted nearest neighbours of instance discrimination (Wu et
//     al. 2018), which trains nothing;
//   - Linear, a multinomial logistic regression on standardised features, the
//     field's usual measure;
//   - MLP, one hidden layer with dropout, Deep InfoMax's measure;
//   - FineTuner, which thaws the encoder and trains it with a classifier.
//
// FewLabels draws the rows for the setting in which few labels are known, and
// CollectPixels gives the raw pixels, which features have to beat.
//
// Features are gathered from a stream of embeddings by Collect. But for
// fine-tuning no image is augmented and the encoder never sees a label.
package probe
