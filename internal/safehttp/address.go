package safehttp

import (
	"fmt"
	"net/netip"
)

// special are the ranges of addresses that are no hosts of the public Internet: IANA's special-purpose registries, and
// what clouds use for metadata.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this host"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a provider's shared range, in which some clouds have their metadata"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds have their metadata"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relays"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "IPv4 in an old form"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a network's own NAT64"},
	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	global = netip.MustParsePrefix("2000::/3") // all that is public of IPv6
)

// checkAddress says what is wrong with connecting to an address.
func checkAddress(addr netip.Addr, allowed []netip.Prefix) error {
	shown := addr
	addr = addr.Unmap().WithZone("")
	for _, prefix := range allowed {
		if prefix.Contains(addr) {
			return nil
		}
	}
	if nat64.Contains(addr) { // how a network without IPv4 reaches IPv4
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return fmt.Errorf("%w: the address %v is not public: %s", ErrRefused, shown, s.what)
		}
	}
	if !addr.IsValid() || addr.Is6() && !global.Contains(addr) {
		return fmt.Errorf("%w: the address %v is not public", ErrRefused, shown)
	}
	return nil
}
