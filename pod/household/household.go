// Package household says which addresses are limited as one.
package household

import "net/netip"

// Of is the addresses that one customer of a provider has: an IPv4 address alone (also
// where IPv6 maps it), of IPv6 its /64. Who has no valid address is of the zero Prefix:
// they all share one household.
func Of(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr only
	return p
}
