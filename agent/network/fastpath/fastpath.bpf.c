// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * A shortcut past the host's IP stack for packets between two tasks of one plain IPv4 network, at tc's ingress: `from_task`
 * on the host side of tasks' veths, `from_wire` on the VXLAN device. (Two licences: the kernel lends conntrack's functions to
 * GPL programs only.)
 *
 * Invariants:
 *  - It drops nothing and allows nothing. What is not surely a packet that the rules accept goes on to them (TC_ACT_OK). So
 *    an entry that is missing or late makes a flow slow, not wrong. An entry too many would be wrong: fast-path.ts takes an
 *    address out before it belongs to somebody else.
 *  - A flow that conntrack knows stays with conntrack, all of it: translated ones (a virtual address has been asked for; only
 *    the client's host knows), and those that began while an entry or a filter was not there. So no flow is ever seen by
 *    conntrack in one direction only, or with a gap, and called invalid. Flows that began here it meets in their middle when
 *    an entry goes, which it allows (nf_conntrack_tcp_loose).
 *
 * Linux >= 5.18 with BTF: bpf_skb_ct_lookup; bpf_redirect_peer is older.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

/* What libbpf's headers would give. */
#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define BIG16(x) __builtin_bswap16(x)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const bpf_redirect)(__u32 device, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const bpf_redirect_peer)(__u32 device, __u64 flags) = (void *)BPF_FUNC_redirect_peer;
static long (*const bpf_skb_pull_data)(struct __sk_buff *skb, __u32 bytes) = (void *)BPF_FUNC_skb_pull_data;

/* Held and given back, never looked into. */
struct nf_conn {
	int opaque;
};
struct bpf_ct_opts {
	__s32 netns_id, error;
	__u8 l4proto, dir, reserved[2];
};
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					 struct bpf_ct_opts *opts, __u32 opts_size) __attribute__((section(".ksyms")));
extern void bpf_ct_release(struct nf_conn *flow) __attribute__((section(".ksyms")));

/* The mark that VXLAN must bear to leave the host: a redirect passes nftables' egress hook by, which sets it. See ruleset.ts. */
#define GUARD_MARK 0x20

/* entries.ts writes these bytes. */
struct place {
	__u32 device;   /* of a task of this host: its veth; of another host: the VXLAN device */
	__be32 network; /* the network's first address */
	__u32 local;
	__u8 to[ETH_ALEN], from[ETH_ALEN]; /* the MACs to send with; another host's `to` is also what its packets bear */
};

struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	int (*map_flags)[BPF_F_NO_PREALLOC];
	int (*max_entries)[65536];
	__be32 *key; /* a task's address */
	struct place *value;
} places SEC(".maps");

struct ports {
	__be16 source, destination;
};
struct icmp {
	__u8 type, code;
	__be16 check;
	__be32 rest;
};
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11

/* What decides: where the packet goes from and to, and the flow that it belongs to or, as an ICMP error, speaks of. */
struct packet {
	__be32 source, destination;
	struct bpf_sock_tuple flow;
	__u8 protocol;
};

INLINE int known(struct __sk_buff *skb, struct bpf_sock_tuple *flow, __u8 protocol)
{
	struct bpf_ct_opts opts = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = protocol };
	struct nf_conn *found = bpf_skb_ct_lookup(skb, flow, sizeof(flow->ipv4), &opts, sizeof(opts));

	if (!found)
		return 0;
	bpf_ct_release(found);
	return 1;
}

/*
 * Both ways round. The flow as it is: its own entry, or as a reply the one of a virtual address. The flow reversed: what a
 * peer began has its original direction in the zone of the peer's node and only its reply here; and a new direct flow with
 * the ports of one through a virtual address to the same task must be given another port, which is conntrack's to do. (The
 * other order it cannot see: a flow through a virtual address may get the ports of a direct one that lives. The direct one
 * then moves to another port, which UDP survives and TCP does not.)
 */
INLINE int conntracks(struct __sk_buff *skb, struct packet *packet)
{
	struct bpf_sock_tuple back = {};

	if (known(skb, &packet->flow, packet->protocol))
		return 1;
	back.ipv4.saddr = packet->flow.ipv4.daddr;
	back.ipv4.daddr = packet->flow.ipv4.saddr;
	back.ipv4.sport = packet->flow.ipv4.dport;
	back.ipv4.dport = packet->flow.ipv4.sport;
	return known(skb, &back, packet->protocol);
}

INLINE int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

INLINE int plain(struct iphdr *ip)
{
	return ip->version == 4 && ip->ihl == 5 && !(ip->frag_off & BIG16(0x3fff));
}

/* Bytes of the packet from the Ethernet header on, linear and writable; or none. */
INLINE void *bytes(struct __sk_buff *skb, __u32 count)
{
	if ((void *)(long)skb->data + count > (void *)(long)skb->data_end && bpf_skb_pull_data(skb, count))
		return 0;
	if ((void *)(long)skb->data + count > (void *)(long)skb->data_end)
		return 0;
	return (void *)(long)skb->data;
}

INLINE void read_flow(struct packet *packet, struct iphdr *ip, struct ports *ports)
{
	packet->protocol = ip->protocol;
	packet->flow.ipv4.saddr = ip->saddr;
	packet->flow.ipv4.daddr = ip->daddr;
	packet->flow.ipv4.sport = ports->source;
	packet->flow.ipv4.dport = ports->destination;
}

#define PORTS_AT (ETH_HLEN + sizeof(struct iphdr))
#define INNER_AT (PORTS_AT + sizeof(struct icmp))
#define INNER_PORTS_AT (INNER_AT + sizeof(struct iphdr))

/*
 * An ICMP error about a flow of the shortcut: conntrack would call it invalid. Its flow must be one that its receiver sent to
 * its sender; or, from another host's own stack (the hop of a traceroute), to a task of that host, in whose name it stands.
 */
INLINE int read_error(struct __sk_buff *skb, struct packet *packet, int from_wire)
{
	void *start = bytes(skb, INNER_PORTS_AT + 8);
	struct icmp *icmp;
	struct iphdr *inner;

	if (!start)
		return 0;
	icmp = start + PORTS_AT;
	inner = start + INNER_AT;
	if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_TIME_EXCEEDED)
		return 0;
	if (!plain(inner) || !has_ports(inner->protocol) || inner->saddr != packet->destination)
		return 0;
	if (inner->daddr != packet->source) {
		if (!from_wire || bpf_map_lookup_elem(&places, &packet->source))
			return 0;
		packet->source = inner->daddr;
	}
	read_flow(packet, inner, start + INNER_PORTS_AT);
	return 1;
}

INLINE int read_packet(struct __sk_buff *skb, struct packet *packet, int from_wire)
{
	void *start = bytes(skb, PORTS_AT + 8);
	struct iphdr *ip;

	if (!start)
		return 0;
	ip = start + ETH_HLEN;
	if (!plain(ip) || ip->ttl <= 1)
		return 0;
	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	if (ip->protocol == IPPROTO_ICMP)
		return read_error(skb, packet, from_wire);
	if (!has_ports(ip->protocol))
		return 0;
	read_flow(packet, ip, start + PORTS_AT);
	return 1;
}

INLINE int same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const void *)a, *y = (const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* The source is where the packet came from: anything else is spoofed, or about to move, and the rules see to it. */
INLINE int from_there(struct __sk_buff *skb, struct place *place, int from_wire)
{
	struct ethhdr *ethernet;

	if (!from_wire)
		return place->local && place->device == skb->ingress_ifindex;
	ethernet = bytes(skb, ETH_HLEN);
	return ethernet && !place->local && same_mac(place->to, ethernet->h_source);
}

INLINE int forward(struct __sk_buff *skb, struct place *to)
{
	void *start = bytes(skb, PORTS_AT);
	struct iphdr *ip;
	__u32 check;

	if (!start)
		return TC_ACT_OK;
	ip = start + ETH_HLEN;
	check = ip->check + BIG16(0x0100); /* RFC 1141: the TTL falls by one */
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
	__builtin_memcpy(start, to->to, 2 * ETH_ALEN);
	if (to->local)
		return bpf_redirect_peer(to->device, 0);
	skb->mark = GUARD_MARK;
	return bpf_redirect(to->device, 0);
}

INLINE int shortcut(struct __sk_buff *skb, int from_wire)
{
	struct packet packet = {};
	struct place *from, *to;

	if (skb->protocol != BIG16(ETH_P_IP) || !read_packet(skb, &packet, from_wire))
		return TC_ACT_OK;
	to = bpf_map_lookup_elem(&places, &packet.destination);
	if (!to || (from_wire && !to->local))
		return TC_ACT_OK;
	from = bpf_map_lookup_elem(&places, &packet.source);
	if (!from || from->network != to->network || !from_there(skb, from, from_wire))
		return TC_ACT_OK;
	if (conntracks(skb, &packet))
		return TC_ACT_OK;
	return forward(skb, to);
}

SEC("tc") int from_task(struct __sk_buff *skb)
{
	return shortcut(skb, 0);
}

SEC("tc") int from_wire(struct __sk_buff *skb)
{
	return shortcut(skb, 1);
}

char _license[] SEC("license") = "GPL";
