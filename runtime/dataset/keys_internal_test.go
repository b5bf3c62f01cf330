package dataset

import "testing"

// TestPrivateKeysAreFoundWhole looks for keys as they stand in files and in JSON.
func TestPrivateKeysAreFoundWhole(t *testing.T) {
	for name, tt := range map[string]struct{ before, key, behind string }{
		"Plain":     {"key: ", "-----BEGIN PRIVATE KEY-----\nMIIEvQ+/=\n-----END PRIVATE KEY-----", " and so on"},
		"Encrypted": {"", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\nMIIEvQ+/=\n-----END RSA PRIVATE KEY-----", "\nnext"},
		"PGP":       {"x ", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2 (GNU/Linux)\n\nlQOYBF\n=AbCd\n-----END PGP PRIVATE KEY BLOCK-----", "."},
		"InJSON":    {`{"text":"`, `-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----`, `"}`},
		"CutOff":    {"", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIEvQ", `"}`},
		"NoKey":     {"-----BEGIN CERTIFICATE-----\nMIIEvQ\n-----END CERTIFICATE-----", "", ""},
	} {
		text := tt.before + tt.key + tt.behind
		if got := builtin[0].re.FindString(text); got != tt.key {
			t.Errorf("%s: found %q", name, got)
		}
	}
}
