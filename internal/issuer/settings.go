package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

const settingsRow = "settings"

// Settings reads the settings in force.
func (is *Issuer) Settings(ctx context.Context, caller domain.Caller) (domain.Settings, error) {
	if err := caller.Need(domain.PermSettings); err != nil {
		return domain.Settings{}, err
	}
	return loadSettings(ctx, is.Store.Queries)
}

// ChangeSettings replaces all settings at once, so that no combination is ever half in force. s.Version is the version the caller read; CodeConflict
// when they were changed since.
func (is *Issuer) ChangeSettings(ctx context.Context, caller domain.Caller, s domain.Settings) (domain.Settings, error) {
	if err := needAll(caller, domain.PermSettings); err != nil {
		return domain.Settings{}, err
	}
	problems := s.Check()
	is.checkAddresses(&problems, s)
	is.Attestors.at(is.Now()).CheckSettings(&problems, s)
	if s.SelfServiceRole != "" {
		_, err := is.Store.Role(ctx, s.SelfServiceRole)
		switch {
		case errors.Is(err, store.ErrNotFound):
			problems.Add("self_service_role", "names no role")
		case err != nil:
			return domain.Settings{}, fmt.Errorf("load role: %w", err)
		}
	}
	if err := problems.Err(domain.CodeInvalid, "the settings break a rule"); err != nil {
		return domain.Settings{}, err
	}
	read := s.Version
	s.Version++
	form, err := json.Marshal(s)
	if err != nil {
		return domain.Settings{}, fmt.Errorf("write settings: %w", err)
	}
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldAudit(ctx); err != nil { // one change at a time: each reads what the one before has written
			return fmt.Errorf("wait for other changes: %w", err)
		}
		old, err := loadSettings(ctx, tx.Queries)
		if err != nil {
			return err
		}
		if old.Version != read {
			return domain.Errorf(domain.CodeConflict, "the settings were changed meanwhile; read them again").
				With("version", strconv.Itoa(old.Version))
		}
		if err := tx.PutSetting(ctx, settingsRow, string(form), caller.AccountID, is.Now()); err != nil {
			return fmt.Errorf("store settings: %w", err)
		}
		if !slices.Equal(old.ExpiryReminderDays, s.ExpiryReminderDays) {
			if err := recheckLater(ctx, tx, store.DocumentRecheck{}); err != nil {
				return err
			}
		}
		e := is.entry(caller, "settings.change", settingsRow)
		e.Changes, err = differences(old, s)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil {
		return domain.Settings{}, err
	}
	return s, nil
}

// checkAddresses holds addresses to https where the server's own is.
func (is *Issuer) checkAddresses(problems *domain.Problems, s domain.Settings) {
	const plain = "http://"
	if strings.HasPrefix(is.cfg.BaseURL, plain) {
		return
	}
	for _, address := range []struct{ field, value string }{{"public_base_url", s.PublicBaseURL}, {"qr_base_url", s.QRBaseURL}} {
		if strings.HasPrefix(address.value, plain) {
			problems.Add(address.field, "must be https, as the server's own address is")
		}
	}
}

// publicBaseURL gives where links in messages and on pages lead: as the settings say, else as the server is configured.
func (is *Issuer) publicBaseURL(s domain.Settings) string {
	return cmp.Or(s.PublicBaseURL, is.cfg.BaseURL)
}

// qrBaseURL gives where links in QR codes lead.
func (is *Issuer) qrBaseURL(s domain.Settings) string {
	return cmp.Or(s.QRBaseURL, is.cfg.QRBaseURL, is.publicBaseURL(s))
}

// loadSettings reads what is stored over the defaults, so that a setting that came with a newer version has its default.
func loadSettings(ctx context.Context, q store.Queries) (domain.Settings, error) {
	s := domain.DefaultSettings()
	form, err := q.Setting(ctx, settingsRow)
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("load settings: %w", err)
	}
	if err := json.NewDecoder(strings.NewReader(form)).Decode(&s); err != nil {
		return s, errors.New("load settings: the stored form is broken")
	}
	return s, nil
}

// differences lists the top-level JSON members that differ between two values of one type.
func differences(before, after any) (map[string]domain.Change, error) {
	b, err := members(before)
	if err != nil {
		return nil, err
	}
	a, err := members(after)
	if err != nil {
		return nil, err
	}
	out := map[string]domain.Change{}
	for name := range a {
		if string(a[name]) != string(b[name]) {
			out[name] = domain.Change{Before: string(b[name]), After: string(a[name])}
		}
	}
	return out, nil
}

func members(v any) (map[string]json.RawMessage, error) {
	form, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("compare settings: %w", err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(form, &m); err != nil {
		return nil, fmt.Errorf("compare settings: %w", err)
	}
	return m, nil
}
