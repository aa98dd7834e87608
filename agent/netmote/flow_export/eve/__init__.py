"""EVE: one JSON line a flow, with the names and forms of Suricata's `flow` event, into files of bounded size and number."""
