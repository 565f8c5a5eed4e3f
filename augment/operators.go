package augment

// An operatorKind is how an operator stands in a policy file.
type operatorKind struct {
	parse func(*arguments) operator
	sizes bool // the picture leaves it with a size of its own
}

// operatorKinds holds every operator by its name in a policy file.
var operatorKinds = map[string]operatorKind{
	"affine":              {parse: parseAffine},
	"brightness":          {parse: parseBrightness},
	"center_crop":         {parse: parseCenterCrop, sizes: true},
	"color_drop":          {parse: parseColorDrop},
	"color_jitter":        {parse: parseColorJitter},
	"contrast":            {parse: parseContrast},
	"crop":                {parse: parseCrop, sizes: true},
	"elastic_transform":   {parse: parseElasticTransform},
	"gaussian_blur":       {parse: parseGaussianBlur},
	"grayscale":           {parse: parseGrayscale},
	"horizontal_flip":     {parse: parseHorizontalFlip},
	"hue":                 {parse: parseHue},
	"random_affine":       {parse: parseRandomAffine},
	"random_crop":         {parse: parseRandomCrop, sizes: true},
	"random_resized_crop": {parse: parseRandomResizedCrop, sizes: true},
	"resize":              {parse: parseResize, sizes: true},
	"saturation":          {parse: parseSaturation},
	"solarize":            {parse: parseSolarize},
	"sub_crop":            {parse: parseSubCrop},
	"translate_reflect":   {parse: parseTranslateReflect},
}

// sizer is an operator of a kind that sizes. output returns the size of its
// result; ok is false where that depends on the picture.
type sizer interface {
	output() (size extent, ok bool)
}
