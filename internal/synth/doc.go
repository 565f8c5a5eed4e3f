/*
Package synth draws labelled images from a seed, for a first run without any
data: `clpipe demo` and `clpipe shards synth`.

An image shows one shape or texture in one colour on a ground of another. The
classes differ in shape and texture only. Colours, shading, brightness and
noise, where the figure lies, its size, rotation and stretch have the same
distribution for every class, and so has the share of the image it covers: the
mean colour of an image says nothing about its class.

A scene shows several of the shapes, of several sizes, and comes with their boxes:
a set of scenes is one for object detection.
*/
package synth
