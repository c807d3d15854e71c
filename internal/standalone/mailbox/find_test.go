package mailbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/standalone/mailbox"
)

func TestFind(t *testing.T) {
	mail := "Open this address:\r\n\r\nhttp://127.0.0.1:8080/c/AaID2N-POeB_x\r\n\r\nuntil 22 December 2026."
	require.Equal(t, "http://127.0.0.1:8080/c/AaID2N-POeB_x", mailbox.FindLink(mail))
	require.Empty(t, mailbox.FindCode(mail))
	sms := "Office: 1898 3542 is your code, valid until 22 December 2026, 15:21 UTC."
	require.Equal(t, "1898 3542", mailbox.FindCode(sms))
	require.Empty(t, mailbox.FindLink(sms))
}
