package stsecrets

import (
	"encoding/json"
	"fmt"
)

// keep runs one step of the shared table on the store.
func (w *world) keep(step object, value string) (object, error) {
	given := func(name string) string {
		text, _ := step[name].(string)
		return text
	}
	number := func(name string) int64 {
		number, _ := step[name].(float64)
		return int64(number)
	}
	provider := given("provider")
	id := CredentialID{number("user_id"), provider, given("name")}
	switch step["do"] {
	case "store.config_get":
		return answered(w.store.ProviderConfig(background, provider))
	case "store.config_save":
		return nil, w.store.SaveProviderConfig(background, provider, []byte(given("json")))
	case "store.config_update":
		return nil, w.store.UpdateProviderConfig(background, provider, []byte(given("json")))
	case "store.config_delete":
		existed, err := w.store.DeleteProviderConfig(background, provider)
		return object{"existed": existed}, err
	case "store.webhook_get":
		return answered(w.store.WebhookConfig(background, provider))
	case "store.cost_limit_get":
		return answered(w.store.CostLimit(background, provider))
	case "store.hardware_get":
		return answered(w.store.HardwareInfo(background))
	case "store.hardware_set":
		return nil, w.store.SetHardwareInfo([]byte(given("json")))
	case "store.hardware_clear":
		return nil, w.store.ClearHardwareInfo()
	case "store.hardware_cost":
		cost, err := w.store.HardwareCostPerHour(background, given("hardware_id"))
		return object{"number": cost}, err
	case "store.credential_set":
		_, err := w.store.SetCredential(background, w.cipher, id, []byte(value))
		return nil, err
	case "store.credential_get":
		return revealed(w.store.Credential(background, w.cipher, id))
	case "store.credential_delete":
		existed, err := w.store.DeleteCredential(background, id)
		return object{"existed": existed}, err
	case "store.credential_resolve":
		secret, origin, err := w.store.ResolveCredential(background, w.cipher, w.secrets, id, given("global_key"))
		answer, err := revealed(secret, err)
		if err == nil {
			answer["origin"] = origin
		}
		return answer, err
	case "store.audit_log":
		id, err := w.store.Audit(background, AuditEntry{given("event_type"), given("action"), given("target_type"), given("target_id"), json.RawMessage(given("details"))})
		return object{"id": id}, err
	case "store.audit_query":
		found, err := w.store.AuditEntries(background, []byte(given("filter")))
		if err != nil {
			return nil, err
		}
		ids := []int64{}
		for _, entry := range found {
			ids = append(ids, entry.ID)
		}
		return object{"ids": ids}, nil
	case "store.audit_verify":
		report, err := w.store.VerifyAudit(background, number("first"), number("last"))
		return object{"broken_id": report.BrokenID}, err
	}
	panic(fmt.Sprintf("%s is unknown", step["do"]))
}

func answered(json json.RawMessage, err error) (object, error) {
	return object{"value": string(json)}, err
}
