//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./expsum -isa avx2 -out ../expsum_avx2_amd64.s -stubs ../expsum_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./expsum -isa avx512 -out ../expsum_avx512_amd64.s -stubs ../expsum_avx512_amd64.go -pkg kernel
