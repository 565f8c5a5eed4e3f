package imagecodec

var active = &generic
