// Package httpfile reads files from HTTP servers: https://host/path/train.tar,
// or a brace pattern as https://host/path/train-{000000..000009}.tar. HTTP has
// no directories, so that neither a folder nor a glob can be listed.
//
// User and password may stand in the address or in .netrc; requests to
// huggingface.co carry the token of HF_TOKEN. None of them goes to another host
// that a server sends one on to. Proxies are those of HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY.
package httpfile
