package domain

// ReasonReprovision is the one reason for an update: the document is made anew with the latest profile, format and data (F3).
const ReasonReprovision = "reprovision"

// UpdateDeliveries gives the messages that go to the holder when an update can be collected: one that says so, without link or code, because the wallet
// that has the document gets the update by itself.
func (o ProfileOptions) UpdateDeliveries() []Delivery {
	if o.NotificationScheme == NotifyNone {
		return nil
	}
	return []Delivery{{ChannelEmail, MessageReprovision}}
}
