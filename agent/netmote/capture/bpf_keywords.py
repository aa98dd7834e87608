"""The words of filter expressions that mean something by themselves (pcap-filter(7)); any other word is somebody's name."""

_PRIMITIVES = """
src dst host net mask port portrange proto protochain gateway broadcast multicast less greater len length
and or not inbound outbound ifindex on ifname rnr rulenum reason rset ruleset srnr subrulenum action
"""
_PROTOCOLS = """
ether fddi tr wlan ppp slip link radio ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp
atalk aarp decnet lat sca moprc mopdl iso esis isis clnp stp ipx netbeui es-is is-is l1 l2 iih lsp snp csnp psnp
vlan mpls pppoed pppoes geneve llc type subtype dir direction addr1 addr2 addr3 addr4 ra ta
lane oam oamf4 oamf4ec oamf4sc metac bcc sc ilmic connectmsg metaconnect vpi vci fisu lssu lsu msu
"""
_FIELDS = """
icmptype icmpcode icmp6type icmp6code tcpflags
icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo icmp-routeradvert icmp-routersolicit icmp-timxceed
icmp-paramprob icmp-tstamp icmp-tstampreply icmp-ireq icmp-ireqreply icmp-maskreq icmp-maskreply
icmp6-destinationrunreach icmp6-packettoobig icmp6-timeexceeded icmp6-parameterproblem icmp6-echo icmp6-echoreply
icmp6-multicastlistenerquery icmp6-multicastlistenerreportv1 icmp6-multicastlistenerdone icmp6-routersolicit
icmp6-routeradvert icmp6-neighborsolicit icmp6-neighboradvert icmp6-redirect icmp6-routerrenum
icmp6-nodeinformationquery icmp6-nodeinformationresponse icmp6-ineighbordiscoverysolicit icmp6-ineighbordiscoveryadvert
icmp6-multicastlistenerreportv2 icmp6-homeagentdiscoveryrequest icmp6-homeagentdiscoveryreply
icmp6-mobileprefixsolicit icmp6-mobileprefixadvert icmp6-certpathsolicit icmp6-certpathadvert
icmp6-multicastrouteradvert icmp6-multicastroutersolicit icmp6-multicastroutertermination
tcp-fin tcp-syn tcp-rst tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr
"""

KEYWORDS = frozenset(f"{_PRIMITIVES} {_PROTOCOLS} {_FIELDS}".split())
