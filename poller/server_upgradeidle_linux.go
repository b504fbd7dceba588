//go:build linux

package poller

import "time"

// closeIdleUpgrades closes hijacked connections on which nothing was sent for UpgradeIdle. It ends when the teardown begins.
func (r *run) closeIdleUpgrades() {
	ticker := time.NewTicker(min(max(r.cfg.upgradeIdle/4, time.Millisecond), time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.hijacked.CloseIdle(r.cfg.upgradeIdle)
		case <-r.closingC:
			return
		}
	}
}
