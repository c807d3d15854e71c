package wallet

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Store is a folder with the wallet's device keys, documents and unfinished collections:
//
//	keys/<key id>.pem            PKCS#8; the id is the JWK thumbprint of the public key
//	documents/<id>.json          index entry of a document, written last: without it there is no document
//	documents/<id>-<copy>.cbor   IssuerSigned, one for each device key; of later versions <id>-v<version>-<copy>.cbor
//	tokens/<id>.json             refresh token of a document
//	pending/<id>.json            a collection whose request has been or may have been sent
//
// Files are readable by their owner only. A file appears under its name whole and flushed to disk, or not at all, so a
// crash leaves nothing half-written and several processes may share a folder. Methods that write return when the data is
// durable.
type Store struct {
	dir string
}

// Document is the index entry of a document in the wallet.
type Document struct {
	ID               string    `json:"id"`
	DocType          string    `json:"doctype"`
	CredentialIssuer string    `json:"credential_issuer"`
	ConfigurationID  string    `json:"credential_configuration_id"`
	Version          int       `json:"version,omitempty"` // how often a newer version took the document's place
	CollectedAt      time.Time `json:"collected_at"`      // this version
	Signed           time.Time `json:"signed"`
	ValidFrom        time.Time `json:"valid_from"`
	ValidUntil       time.Time `json:"valid_until"`
	// Copies are the instances of the document, each for another device key.
	Copies []Copy `json:"copies"`
}

// Copy is one instance of a document.
type Copy struct {
	KeyID string `json:"key_id"`
}

// pending is a collection that was begun. It holds everything needed to repeat the credential request.
type pending struct {
	ID              string                  `json:"id"`
	DocumentID      string                  `json:"document_id"`
	Offer           oid4vci.CredentialOffer `json:"offer"`
	ConfigurationID string                  `json:"credential_configuration_id"`
	Identifier      string                  `json:"credential_identifier,omitempty"`
	AccessToken     string                  `json:"access_token"`
	KeyIDs          []string                `json:"key_ids"`
	TransactionID   string                  `json:"transaction_id,omitempty"`
	RefreshToken    string                  `json:"refresh_token,omitempty"` // goes with the document
	Replaces        *Document               `json:"replaces,omitempty"`      // the version whose place the document takes
	StartedAt       time.Time               `json:"started_at"`
}

// refreshToken leads to newer versions of a document.
type refreshToken struct {
	Token               string `json:"refresh_token"`
	AuthorizationServer string `json:"authorization_server,omitempty"` // as the offer named it
}

const (
	keysFolder      = "keys"
	documentsFolder = "documents"
	tokensFolder    = "tokens"
	pendingFolder   = "pending"

	pemType = "PRIVATE KEY"
)

// Open opens a store and creates the folder if it is not there.
func Open(dir string) (*Store, error) {
	for _, name := range []string{keysFolder, documentsFolder, tokensFolder, pendingFolder} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("open wallet store: %w", err)
		}
	}
	return &Store{dir: dir}, nil
}

// Documents lists the documents, oldest first.
func (s *Store) Documents() ([]Document, error) {
	documents, err := readAll[Document](s, documentsFolder)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(documents, func(a, b Document) int {
		if c := a.CollectedAt.Compare(b.CollectedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return documents, nil
}

// Document returns one index entry, or ErrNotFound.
func (s *Store) Document(id string) (Document, error) {
	return readEntry[Document](s, documentsFolder, id)
}

// Copy returns the IssuerSigned bytes of a copy of a document, counted from 0, with its device key; or ErrNotFound.
func (s *Store) Copy(id string, number int) ([]byte, *ecdsa.PrivateKey, error) {
	document, err := s.Document(id)
	for err == nil {
		data, key, failed := s.readCopy(document, number)
		if failed == nil {
			return data, key, nil
		}
		read := document.Version
		if document, err = s.Document(id); err == nil && document.Version == read {
			err = failed
		}
		// Else a newer version has taken its place meanwhile.
	}
	return nil, nil, err
}

func (s *Store) readCopy(document Document, number int) ([]byte, *ecdsa.PrivateKey, error) {
	if number < 0 || number >= len(document.Copies) {
		return nil, nil, fmt.Errorf("read document copy: %w", ErrNotFound)
	}
	data, err := os.ReadFile(s.copyPath(document, number))
	if err != nil {
		return nil, nil, fmt.Errorf("read document copy: %w", err)
	}
	key, err := s.key(document.Copies[number].KeyID)
	if err != nil {
		return nil, nil, err
	}
	return data, key, nil
}

// saveDocument writes the copies and then the index entry that makes them a document.
func (s *Store) saveDocument(document Document, copies [][]byte) error {
	for i, data := range copies {
		if err := writeFile(s.copyPath(document, i), data); err != nil {
			return fmt.Errorf("save document: %w", err)
		}
	}
	if err := s.saveEntry(documentsFolder, document.ID, document); err != nil {
		return fmt.Errorf("save document: %w", err)
	}
	return nil
}

// deleteVersion removes the copies of a version that another one has replaced, with the keys that this one does not use.
func (s *Store) deleteVersion(old Document, used []Copy) error {
	for i, c := range old.Copies {
		if err := os.Remove(s.copyPath(old, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete document copy: %w", err)
		}
		if slices.Contains(used, c) {
			continue
		}
		if err := s.deleteKey(c.KeyID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) saveToken(documentID string, t refreshToken) error {
	if err := s.saveEntry(tokensFolder, documentID, t); err != nil {
		return fmt.Errorf("save refresh token: %w", err)
	}
	return nil
}

func (s *Store) token(documentID string) (refreshToken, error) {
	return readEntry[refreshToken](s, tokensFolder, documentID)
}

// saveKey writes a device key and returns its id.
func (s *Store) saveKey(key *ecdsa.PrivateKey) (string, error) {
	id, err := oid4vci.Thumbprint(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("save device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("save device key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if err := writeFile(s.path(keysFolder, id, ".pem"), block); err != nil {
		return "", fmt.Errorf("save device key: %w", err)
	}
	return id, nil
}

func (s *Store) key(id string) (*ecdsa.PrivateKey, error) {
	if !storeID.MatchString(id) {
		return nil, fmt.Errorf("read device key: %w", ErrNotFound)
	}
	data, err := os.ReadFile(s.path(keysFolder, id, ".pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read device key: %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, errors.New("read device key: not a PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("read device key: not PKCS#8")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("read device key: not an EC key")
	}
	return key, nil
}

func (s *Store) deleteKey(id string) error {
	if err := os.Remove(s.path(keysFolder, id, ".pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete device key: %w", err)
	}
	return nil
}

func (s *Store) savePending(p pending) error {
	if err := s.saveEntry(pendingFolder, p.ID, p); err != nil {
		return fmt.Errorf("save collection: %w", err)
	}
	return nil
}

func (s *Store) pending(id string) (pending, error) { return readEntry[pending](s, pendingFolder, id) }

func (s *Store) allPending() ([]pending, error) { return readAll[pending](s, pendingFolder) }

func (s *Store) deletePending(id string) error {
	if err := os.Remove(s.path(pendingFolder, id, ".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete collection: %w", err)
	}
	return nil
}

// storeID is the form of ids; it keeps file names inside their folder.
var storeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (s *Store) path(folder, id, extension string) string {
	return filepath.Join(s.dir, folder, id+extension)
}

func (s *Store) copyPath(document Document, number int) string {
	name := fmt.Sprintf("%s-%d", document.ID, number)
	if document.Version > 0 {
		name = fmt.Sprintf("%s-v%d-%d", document.ID, document.Version, number)
	}
	return s.path(documentsFolder, name, ".cbor")
}

func (s *Store) saveEntry(folder, id string, entry any) error {
	data, err := json.MarshalIndent(entry, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.path(folder, id, ".json"), data)
}

func readEntry[T any](s *Store, folder, id string) (T, error) {
	var entry T
	if !storeID.MatchString(id) {
		return entry, fmt.Errorf("read from %s: %w", folder, ErrNotFound)
	}
	data, err := os.ReadFile(s.path(folder, id, ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return entry, fmt.Errorf("read from %s: %w", folder, ErrNotFound)
	}
	if err != nil {
		return entry, fmt.Errorf("read from %s: %w", folder, err)
	}
	if err := json.Unmarshal(data, &entry); err != nil {
		return entry, fmt.Errorf("read from %s: entry is damaged: %w", folder, err)
	}
	return entry, nil
}

// readAll reads every entry of a folder. One that another process removes meanwhile is left out.
func readAll[T any](s *Store, folder string) ([]T, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	var entries []T
	for _, file := range files {
		id, isEntry := strings.CutSuffix(file.Name(), ".json")
		if !isEntry {
			continue
		}
		entry, err := readEntry[T](s, folder, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// writeFile puts data under path in one step and flushes it to disk. CreateTemp makes files only their owner can read.
func writeFile(path string, data []byte) (err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if _, err = file.Write(data); err != nil {
		return errors.Join(err, file.Close())
	}
	if err = file.Sync(); err != nil {
		return errors.Join(err, file.Close())
	}
	if err = file.Close(); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes a rename durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
