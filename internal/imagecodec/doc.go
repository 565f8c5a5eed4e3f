// Package imagecodec turns the bytes of an image file into 8-bit RGB.
//
// JPEG (ITU-T T.81: baseline, extended and progressive Huffman coding, 8 bits a
// sample) is decoded here, byte for byte as libjpeg-turbo does it with its
// default settings: the "islow" integer inverse DCT, triangle ("fancy")
// upsampling and fixed-point colour conversion. PNG goes through image/png, WebP
// through golang.org/x/image, with colours as libwebp makes them, of an animation
// the first frame. The
// result is what Pillow gives for Image.open(f).convert("RGB"), on every
// machine and with every kernel; at a smaller scale (DecodeScaled) what it gives
// after Image.draft.
//
// A Decoder holds the scratch memory, so that a worker decoding many files does
// not allocate:
//
//	var dec imagecodec.Decoder
//	var img imagecodec.Image
//	for _, file := range files {
//		if err := dec.Decode(file, &img); err != nil { ... }
//		use(img.Pix)
//	}
//
// Damage that libjpeg only warns about (corrupt entropy-coded data, bytes between
// markers, a wrong restart marker) is decoded as libjpeg decodes it, and so are
// pixels that go on to the end of the file, as where the rest has become zeros. A
// file that ends with its last pixels, or within the eight bytes behind them that
// libjpeg reads ahead, is a TruncatedError; of sixteen such files, Pillow takes
// one by chance. What it finds wrong with chunks and segments that hold nothing
// of the picture (texts and later frames of PNG, TEM markers) is no damage here.
// No colour profile is applied, and an orientation that EXIF or XMP data tell only
// where it is asked for (Decoder.Upright). Arithmetic coding, lossless and 12-bit
// JPEG are not supported.
package imagecodec
