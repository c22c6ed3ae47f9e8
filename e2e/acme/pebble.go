//go:build tools

// Package acme pins the ACME server that the tests obtain certificates from, and the name server that it asks.
package acme

import (
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble"
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"
)
