// Package olaressecrets is a client of the secret service of Olares, in one file to be copied into an app.
//
// It needs Go 1.19 or later and, beside the standard library, one package:
//
//	go get golang.org/x/crypto/bcrypt
//
// An app makes one Vault for each workspace and environment, and shares it among its goroutines:
//
//	vault, err := olaressecrets.New("notes",
//		olaressecrets.WithURL("http://secret-provider.os-platform:8080"),
//		olaressecrets.WithApp(os.Getenv("OS_APP_KEY"), os.Getenv("OS_APP_SECRET")),
//		olaressecrets.WithUserToken(userToken))
//	…
//	err = vault.Put(ctx, "api-token", "a value")
//	value, err := vault.Retrieve(ctx, "api-token")
//	if errors.Is(err, olaressecrets.SecretNotFound) { … }
//	value, err = vault.UpdateFunc(ctx, "oauth", refresh)
//
// No error and no printed Vault has a value, a key or a token in it.
package olaressecrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

const (
	systemServerPath   = "/system-server/v1alpha1/secret/secret.infisical/v1"
	maxRetryAfter      = 30 * time.Second
	maxConflictPause   = 250 * time.Millisecond
	readTokenFileAgain = time.Minute
	// How often the renewal of a token that is still good is tried where it fails.
	renewAgainAfter = 5 * time.Second
	// How often Put and UpdateFunc begin anew while others write the same secret.
	maxAttempts      = 1000
	maxTokenAttempts = 5
	bcryptCost       = 10
	// bcrypt reads no more, and later versions of the package refuse more.
	bcryptBytes = 72
	// The service answers with 16 MiB at most.
	maxAnswerBytes = 64 << 20
)

// How long an operation that was refused is not asked for: its grant may have been approved since. A variable for tests.
var askAgainAfter = time.Minute

var operations = []string{"RetrieveSecret", "CreateSecret", "UpdateSecret", "DeleteSecret", "ListSecret"}

// Reason says why a call failed. It is an error itself, for errors.Is(err, olaressecrets.SecretNotFound).
type Reason string

func (r Reason) Error() string { return string(r) }

// The reasons of the service, and three that arise on this side: Unreachable, NotUnderstood and NoConditionalWrites.
const (
	InvalidRequest      Reason = "INVALID_REQUEST"
	Unauthenticated     Reason = "UNAUTHENTICATED"
	NotGranted          Reason = "NOT_GRANTED"
	UserMismatch        Reason = "USER_MISMATCH"
	SecretNotFound      Reason = "SECRET_NOT_FOUND"
	RouteNotFound       Reason = "ROUTE_NOT_FOUND"
	SecretAlreadyExists Reason = "SECRET_ALREADY_EXISTS"
	ApprovalRequired    Reason = "APPROVAL_REQUIRED"
	PreconditionFailed  Reason = "PRECONDITION_FAILED"
	RequestTooLarge     Reason = "REQUEST_TOO_LARGE"
	StoreRefused        Reason = "STORE_REFUSED"
	TooManyRequests     Reason = "TOO_MANY_REQUESTS"
	HeadersTooLarge     Reason = "HEADERS_TOO_LARGE"
	Internal            Reason = "INTERNAL"
	StoreUnavailable    Reason = "STORE_UNAVAILABLE"
	// OutcomeUnknown is of a write that was sent and not confirmed: it may or may not have happened. Read before you repeat it.
	OutcomeUnknown      Reason = "STORE_OUTCOME_UNKNOWN"
	GrantsUnavailable   Reason = "GRANTS_UNAVAILABLE"
	IdentityUnavailable Reason = "IDENTITY_UNAVAILABLE"
	AuditUnavailable    Reason = "AUDIT_UNAVAILABLE"
	Overloaded          Reason = "OVERLOADED"
	ShuttingDown        Reason = "SHUTTING_DOWN"
	QuotaExceeded       Reason = "QUOTA_EXCEEDED"
	StoreFull           Reason = "STORE_FULL"
	ListTooLarge        Reason = "LIST_TOO_LARGE"
	// Unreachable: no connection, or the connection ended before the answer to a read came.
	Unreachable Reason = "UNREACHABLE"
	// NotUnderstood: what answered was not this service.
	NotUnderstood Reason = "NOT_UNDERSTOOD"
	// NoConditionalWrites: system-server up to Olares 1.12.0 passes no ETag on, so UpdateFunc does not work through it.
	NoConditionalWrites Reason = "NO_CONDITIONAL_WRITES"
)

// Unavailable is what errors.Is finds in every failure of a service or store that cannot be asked at the moment; nothing was changed.
var Unavailable = errors.New("the secret service or its store cannot be asked at the moment")

var unavailable = map[Reason]bool{StoreUnavailable: true, GrantsUnavailable: true, IdentityUnavailable: true,
	AuditUnavailable: true, Overloaded: true, ShuttingDown: true, Unreachable: true}

// Error is a failed call. Every failure is one, but for those of New and for a context that ended before anything was sent.
type Error struct {
	Reason  Reason
	Message string
	// Status is the HTTP status, or the envelope's code where that is HTTP 200 for everything; 0 where nothing answered.
	Status int
	// RequestID finds the line in the service's log.
	RequestID string
	// RetryAfter is how long the service asks to wait; 0 where it does not say.
	RetryAfter time.Duration
	// Grant is, of NotGranted, the line that the manifest needs, where it is a line that is missing.
	Grant string
	// ended is, of a write whose outcome is unknown, what ended the call: the context, or the function of the user's token.
	ended error
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Message }

// Is makes errors.Is find the reason, and Unavailable.
func (e *Error) Is(target error) bool {
	return target == error(e.Reason) || (target == Unavailable && unavailable[e.Reason])
}

// Unwrap returns why the context ended, or the error of the function of the user's token, if that is what ended the call.
func (e *Error) Unwrap() error { return e.ended }

func isReason(err error, reasons ...Reason) bool {
	for _, reason := range reasons {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// Secret is a name and its value.
type Secret struct {
	Name, Value string
}

// Option is a setting of a Vault.
type Option func(*settings)

type settings struct {
	url, systemServer, environment string
	appKey, appSecret              string
	tokenFile, podTokenFile        string
	userToken                      func(context.Context) (string, error)
	timeout                        time.Duration
	maxRetries                     int
	client                         *http.Client
}

// WithURL gives the address of the service, or of the RBAC proxy that answers for it. Either this or WithSystemServer.
func WithURL(address string) Option { return func(s *settings) { s.url = address } }

// WithSystemServer gives what the environment variable OS_SYSTEM_SERVER holds: calls go through the user's system-server (Olares up to 1.12.0).
func WithSystemServer(address string) Option { return func(s *settings) { s.systemServer = address } }

// WithEnvironment gives test, dev, staging or prod; prod by default.
func WithEnvironment(environment string) Option {
	return func(s *settings) { s.environment = environment }
}

// WithApp lets the app prove itself by its key and secret. The Vault gets access tokens with them, one for all calls.
func WithApp(key, secret string) Option {
	return func(s *settings) { s.appKey, s.appSecret = key, secret }
}

// WithTokenFile lets the app prove itself by a projected ServiceAccount token with the service's audience, in place of WithApp.
func WithTokenFile(path string) Option { return func(s *settings) { s.tokenFile = path } }

// WithPodTokenFile names the pod's own token, which the RBAC proxy of Olares 1.12.7 and later reads.
func WithPodTokenFile(path string) Option { return func(s *settings) { s.podTokenFile = path } }

// WithUserToken gives the token of the user.
func WithUserToken(token string) Option {
	return WithUserTokenFunc(func(context.Context) (string, error) { return token, nil })
}

// WithUserTokenFunc gives what returns a valid token of the user each time. Its errors are returned by the call.
func WithUserTokenFunc(token func(context.Context) (string, error)) Option {
	return func(s *settings) { s.userToken = token }
}

// WithTimeout is for one attempt; 10 seconds by default. The context is for all attempts of a call.
func WithTimeout(timeout time.Duration) Option { return func(s *settings) { s.timeout = timeout } }

// WithMaxRetries says how often a call is repeated where that is safe; 4 by default.
func WithMaxRetries(count int) Option { return func(s *settings) { s.maxRetries = count } }

// WithHTTPClient is for a certificate authority of one's own, and for tests. Redirections are not followed all the same. Without it
// no proxy of the environment is used.
func WithHTTPClient(client *http.Client) Option { return func(s *settings) { s.client = client } }

// Vault holds the secrets of one workspace and environment. Its methods may be called by several goroutines. They return an *Error, or the
// error of their context, and repeat what is safe to repeat: reads always, writes where the service did nothing.
type Vault struct {
	// fmt prints what a pointer leads to for some verbs, and of a function nothing but its address.
	inner func() *vault
}

type vault struct {
	settings
	root, path, query, workspace string
	credentials                  credentials
}

// credentials are what a request is sent with.
type credentials interface {
	headers(ctx context.Context, operation string) (map[string]string, error)
	// refused notes that these headers were refused, so that others are made.
	refused(headers map[string]string)
}

// New makes the Vault of a workspace; nothing is sent before its first call.
func New(workspace string, options ...Option) (*Vault, error) {
	v := &vault{workspace: workspace, settings: settings{environment: "prod", timeout: 10 * time.Second, maxRetries: 4}}
	for _, option := range options {
		option(&v.settings)
	}
	if (v.url == "") == (v.systemServer == "") {
		return nil, errors.New("olaressecrets: either WithURL or WithSystemServer is needed")
	}
	v.root = v.url + v.systemServer
	if !strings.Contains(v.root, "://") {
		v.root = "http://" + v.root
	}
	v.root = strings.TrimRight(v.root, "/")
	at, err := url.Parse(v.root)
	if err != nil || at.Hostname() == "" || (at.Scheme != "http" && at.Scheme != "https") {
		return nil, errors.New("olaressecrets: the address is not a URL of http or https")
	}
	if at.User != nil || strings.ContainsAny(v.root, "?# \t") {
		return nil, errors.New("olaressecrets: the address may have no credentials, query, fragment or white space")
	}
	if v.systemServer != "" {
		v.path = systemServerPath
	}
	v.query = "?workspace=" + url.QueryEscape(workspace)
	client := http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: v.timeout}).DialContext,
		MaxIdleConnsPerHost: 16,
		// The service closes an idle connection a second later: a write must not meet that.
		IdleConnTimeout: 4 * time.Second,
	}}
	if v.client != nil {
		client = *v.client
	}
	// The credentials are for nobody else.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v.client = &client
	switch {
	case v.tokenFile != "":
		v.credentials = &tokenFiles{ours: v.tokenFile, pods: v.podTokenFile}
	case v.appKey != "" && v.appSecret != "":
		tokens := &accessTokens{all: v.tokensFor(operations...), each: map[string]*tokensFor{}}
		for _, operation := range operations {
			tokens.each[operation] = v.tokensFor(operation)
		}
		v.credentials = tokens
	default:
		return nil, errors.New("olaressecrets: either WithApp or WithTokenFile is needed")
	}
	return &Vault{func() *vault { return v }}, nil
}

// String says which workspace and environment it is.
func (v *Vault) String() string {
	return fmt.Sprintf("olaressecrets.Vault(%s, %s)", v.inner().workspace, v.inner().environment)
}

// Retrieve returns the value of a secret. Fails with SecretNotFound.
func (v *Vault) Retrieve(ctx context.Context, name string) (string, error) {
	value, _, err := v.inner().read(ctx, name)
	return value, err
}

// GetOr returns the fallback where there is no such secret; every other failure is returned.
func (v *Vault) GetOr(ctx context.Context, name, fallback string) (string, error) {
	value, err := v.Retrieve(ctx, name)
	if isReason(err, SecretNotFound) {
		return fallback, nil
	}
	return value, err
}

// List returns all secrets, by name ascending.
func (v *Vault) List(ctx context.Context) ([]Secret, error) {
	got, err := v.inner().call(ctx, "ListSecret", map[string]string{}, nil)
	if err != nil {
		return nil, err
	}
	rows, isList := got.data.([]any)
	secrets := make([]Secret, 0, len(rows))
	for _, row := range rows {
		name, hasName := field(row, "name").(string)
		value, hasValue := field(row, "value").(string)
		isList = isList && hasName && hasValue
		secrets = append(secrets, Secret{name, value})
	}
	if !isList {
		return nil, notUnderstood("ListSecret")
	}
	return secrets, nil
}

// Create fails with SecretAlreadyExists, or OutcomeUnknown.
func (v *Vault) Create(ctx context.Context, name, value string) error {
	return v.inner().write(ctx, "CreateSecret", name, value, "")
}

// Update overwrites a secret. Fails with SecretNotFound, or OutcomeUnknown.
func (v *Vault) Update(ctx context.Context, name, value string) error {
	return v.inner().write(ctx, "UpdateSecret", name, value, "")
}

// Delete fails with SecretNotFound, or OutcomeUnknown.
func (v *Vault) Delete(ctx context.Context, name string) error {
	_, err := v.inner().call(ctx, "DeleteSecret", map[string]string{"name": name}, nil)
	return err
}

// Put stores the value, whether there is a secret of this name or not. The last of several writers wins.
func (v *Vault) Put(ctx context.Context, name, value string) error {
	var lost error
	unknown := 0
	for attempt := 0; ; attempt++ {
		var err error
		for _, operation := range []string{"UpdateSecret", "CreateSecret"} {
			err = v.inner().write(ctx, operation, name, value, "")
			if !isReason(err, SecretNotFound, SecretAlreadyExists) {
				break
			}
		}
		if isReason(err, OutcomeUnknown) {
			// The same value once more does no harm.
			unknown++
			lost = err
		} else if !isReason(err, SecretNotFound, SecretAlreadyExists) {
			return orLost(lost, err)
		}
		if unknown > v.inner().maxRetries || attempt >= maxAttempts {
			return orLost(lost, err)
		}
		if ended := pause(ctx, backOff(min(attempt, 5))); ended != nil {
			return orLost(lost, ended)
		}
	}
}

// UpdateFunc overwrites a secret with what change makes of its value, and returns the value that it has then. No update of anybody else is
// lost: where another writer was faster, change is called again with that value. It may be called with a value that it has made, where the
// answer to its write was lost. Returning the value as it is leaves the secret as it is; an error of change is returned. Each other failure
// after a write that was not confirmed is OutcomeUnknown.
func (v *Vault) UpdateFunc(ctx context.Context, name string, change func(current string) (string, error)) (string, error) {
	// Kept to the end: a write that was not confirmed may happen after later ones were refused.
	var lost error
	var unconfirmed *string
	unknown := 0
	for attempt := 0; ; attempt++ {
		current, etag, err := v.inner().read(ctx, name)
		if err != nil {
			return "", orLost(lost, err)
		}
		if unconfirmed != nil && current == *unconfirmed {
			return current, nil
		}
		if etag == "" {
			return "", orLost(lost, &Error{Reason: NoConditionalWrites, Message: "nothing between here and the service may take the ETag away"})
		}
		value, err := change(current)
		if err != nil {
			return "", err
		}
		if value == current {
			return current, nil
		}
		err = v.inner().write(ctx, "UpdateSecret", name, value, etag)
		if err == nil {
			return value, nil
		}
		unconfirmed = nil
		if isReason(err, OutcomeUnknown) {
			lost, unconfirmed = err, &value
			unknown++
		} else if !isReason(err, PreconditionFailed) {
			return "", orLost(lost, err)
		}
		if unknown > v.inner().maxRetries || attempt >= maxAttempts {
			return "", orLost(lost, err)
		}
		wait := min(int64(maxConflictPause), int64(backOff(attempt%8)))
		if ended := pause(ctx, time.Duration(float64(wait)*random())); ended != nil {
			return "", orLost(lost, ended)
		}
	}
}

// orLost returns err, or that of a write before it that may have happened.
func orLost(lost, err error) error {
	var failed *Error
	if err == nil || !errors.As(lost, &failed) || isReason(err, OutcomeUnknown) {
		return err
	}
	unknown := *failed
	if !errors.As(err, new(*Error)) {
		unknown.ended = err
	}
	return &unknown
}

func (v *vault) read(ctx context.Context, name string) (value, etag string, err error) {
	got, err := v.call(ctx, "RetrieveSecret", map[string]string{"name": name}, nil)
	if err != nil {
		return "", "", err
	}
	value, isText := field(got.data, "value").(string)
	if !isText {
		return "", "", notUnderstood("RetrieveSecret")
	}
	return value, got.etag, nil
}

func (v *vault) write(ctx context.Context, operation, name, value, etag string) error {
	more := map[string]string{}
	if etag != "" {
		more["If-Match"] = etag
	}
	_, err := v.call(ctx, operation, map[string]string{"name": name, "value": value}, more)
	return err
}

// result is what a successful operation returned.
type result struct {
	data any
	// etag is empty where something between here and the service takes it away.
	etag string
}

// call makes an operation, with new credentials where these were refused.
func (v *vault) call(ctx context.Context, operation string, body, more map[string]string) (result, error) {
	for _, text := range body {
		// As JSON it would become another text, without a word.
		if !utf8.ValidString(text) {
			return result{}, &Error{Reason: InvalidRequest, Message: "the name or the value is not valid UTF-8"}
		}
	}
	body["env"] = v.environment
	for isRepeated := false; ; isRepeated = true {
		own, err := v.credentials.headers(ctx, operation)
		if err != nil {
			return result{}, err
		}
		headers := map[string]string{}
		for _, some := range []map[string]string{own, more} {
			for name, text := range some {
				headers[name] = text
			}
		}
		if v.userToken != nil {
			token, err := v.userToken(ctx)
			if err != nil {
				return result{}, err
			}
			if !tokenForm.MatchString(token) {
				return result{}, &Error{Reason: Unauthenticated, Message: "the user's token is empty, or cannot be sent in a header"}
			}
			headers["X-Authorization"] = token
		}
		got, err := v.send(ctx, operation, body, headers)
		if isRepeated || !isReason(err, Unauthenticated) {
			return got, err
		}
		v.credentials.refused(own)
	}
}

// With these nothing was done, so that also a write may be sent again.
func isNothingDone(reason Reason) bool { return unavailable[reason] || reason == TooManyRequests }

// send sends a request, and again where that is safe.
func (v *vault) send(ctx context.Context, operation string, body, headers map[string]string) (result, error) {
	isRead := operation == "RetrieveSecret" || operation == "ListSecret"
	for retries := 0; ; retries++ {
		answer, err := v.post(ctx, v.path+"/"+operation+v.query, body, headers, isRead)
		var got result
		if err == nil {
			got, err = unwrap(answer, isRead)
		}
		var failed *Error
		if err == nil || !errors.As(err, &failed) {
			return got, err
		}
		wait := backOff(retries)
		if failed.RetryAfter > wait {
			wait = failed.RetryAfter
		}
		if !isNothingDone(failed.Reason) || retries >= v.maxRetries || wait > maxRetryAfter {
			return result{}, err
		}
		if ended := pause(ctx, wait); ended != nil {
			return result{}, ended
		}
	}
}

type answer struct {
	status  int
	headers http.Header
	body    []byte
}

// post sends one request.
func (v *vault) post(ctx context.Context, target string, body any, headers map[string]string, isRead bool) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	var isConnected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { isConnected.Store(true) },
	})
	attempt, cancel := context.WithTimeout(traced, v.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(attempt, http.MethodPost, v.root+target, bytes.NewReader(text))
	if err != nil {
		return answer{}, &Error{Reason: Unreachable, Message: "the address is not a URL"}
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := v.client.Do(request)
	var got []byte
	if err == nil {
		got, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
		_ = response.Body.Close()
	}
	switch {
	case err == nil && len(got) > maxAnswerBytes:
		return answer{}, &Error{Reason: NotUnderstood, Message: "the answer is too large for one of the secret service"}
	case err == nil:
		return answer{response.StatusCode, response.Header, got}, nil
	// The error itself may have the address and more in it.
	case !isRead && isConnected.Load():
		return answer{}, &Error{Reason: OutcomeUnknown, ended: ctx.Err(),
			Message: "the connection ended before the write was answered; it may have happened"}
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	default:
		return answer{}, &Error{Reason: Unreachable, Message: "the service cannot be reached, or gave no answer in time"}
	}
}

// accessTokens gets one access token for all that the app holds. The service names the operation that it refuses; system-server does not, so
// that from then on there is a token for each operation.
type accessTokens struct {
	all          *tokensFor
	each         map[string]*tokensFor
	isNoneForAll atomic.Bool
}

func (t *accessTokens) headers(ctx context.Context, operation string) (map[string]string, error) {
	if !t.isNoneForAll.Load() {
		headers, err := t.all.headers(ctx, operation)
		if err != errUnnamed {
			return headers, err
		}
		t.isNoneForAll.Store(true)
	}
	return t.each[operation].headers(ctx, operation)
}

func (t *accessTokens) refused(headers map[string]string) {
	t.all.refused(headers)
	for _, tokens := range t.each {
		tokens.refused(headers)
	}
}

func (v *vault) tokensFor(operations ...string) *tokensFor {
	tokens := &tokensFor{post: v.post, key: v.appKey, secret: v.appSecret, workspace: v.workspace, refusals: map[string]refused{}}
	for _, operation := range operations {
		tokens.all = append(tokens.all, tokens.op(operation))
	}
	return tokens
}

// errUnnamed is of system-server, which has refused a token for several operations and does not say which of them the app does not hold.
var errUnnamed = errors.New("a token for several operations was refused")

// tokensFor gets access tokens for some operations: one at a time, and a new one when four fifths of its life are over. The old one is used
// until it ends. An operation that was refused is sent with the token of the others: the service says why it is refused.
type tokensFor struct {
	post        func(ctx context.Context, target string, body any, headers map[string]string, isRead bool) (answer, error)
	key, secret string
	workspace   string
	all         []string

	mu      sync.Mutex
	token   accessToken
	pending *tokenRequest
	// What the app does not hold: the service issues no token for it.
	refusals map[string]refused
}

// accessToken is empty where there is none. Its ops are those that it is for.
type accessToken struct {
	text      string
	ops       []string
	renewAt   time.Time
	expiresAt time.Time
}

type refused struct {
	err error
	at  time.Time
}

// tokenRequest is waited for by all who need the token. It goes on where one of them gives up.
type tokenRequest struct {
	done  chan struct{}
	token string
	err   error
}

func (t *tokensFor) op(operation string) string { return operation + "?workspace=" + t.workspace }

func (t *tokensFor) headers(ctx context.Context, operation string) (map[string]string, error) {
	op := t.op(operation)
	t.mu.Lock()
	refusal, isRefused := t.refusals[op]
	if isRefused && time.Since(refusal.at) >= askAgainAfter {
		isRefused = false
		delete(t.refusals, op)
	}
	now := time.Now()
	isGood := now.Before(t.token.expiresAt) && (isRefused || contains(t.token.ops, op))
	if isRefused && !isGood {
		t.mu.Unlock()
		return nil, refusal.err
	}
	token, request := t.token.text, t.pending
	isDue := isGood && !isRefused && !now.Before(t.token.renewAt)
	if isDue {
		t.token.renewAt = now.Add(renewAgainAfter)
	}
	if request == nil && (isDue || !isGood) {
		request = &tokenRequest{done: make(chan struct{})}
		t.pending = request
		go t.request(request)
	}
	t.mu.Unlock()
	if isGood {
		return map[string]string{"X-Access-Token": token}, nil
	}
	select {
	case <-request.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if request.err == nil {
		return map[string]string{"X-Access-Token": request.token}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if refusal, isRefused := t.refusals[op]; isRefused {
		return nil, refusal.err
	}
	return nil, request.err
}

func (t *tokensFor) refused(headers map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if headers["X-Access-Token"] == t.token.text {
		t.token = accessToken{}
	}
}

func (t *tokensFor) request(request *tokenRequest) {
	var token accessToken
	var err error
	for attempt := 1; ; {
		ops := t.notRefused()
		token, err = t.ask(ops)
		var failed *Error
		if err == nil || !errors.As(err, &failed) {
			break
		}
		if failed.Reason == NotGranted && t.withdraw(ops, failed) {
			continue
		}
		wait := backOff(attempt)
		if failed.RetryAfter > wait {
			wait = failed.RetryAfter
		}
		if !isReason(err, Unreachable, TooManyRequests) || attempt >= maxTokenAttempts || wait > maxRetryAfter {
			break
		}
		time.Sleep(wait)
		attempt++
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.token = token
	}
	t.pending, request.token, request.err = nil, token.text, err
	close(request.done)
}

func (t *tokensFor) notRefused() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ops []string
	for _, op := range t.all {
		if _, isRefused := t.refusals[op]; !isRefused {
			ops = append(ops, op)
		}
	}
	return ops
}

// withdraw notes what was refused: all where the error names none. It returns whether there are others to ask for.
func (t *tokensFor) withdraw(ops []string, failed *Error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := 0
	for _, op := range ops {
		if failed.Grant == "" || failed.Grant == op {
			t.refusals[op] = refused{failed, time.Now()}
			count++
		}
	}
	return count > 0 && count < len(ops)
}

func contains(texts []string, wanted string) bool {
	for _, text := range texts {
		if text == wanted {
			return true
		}
	}
	return false
}

func (t *tokensFor) ask(ops []string) (accessToken, error) {
	now := time.Now()
	proof := []byte(t.key + strconv.FormatInt(now.Unix(), 10) + t.secret)
	hash, err := bcrypt.GenerateFromPassword(proof[:min(len(proof), bcryptBytes)], bcryptCost)
	if err != nil {
		return accessToken{}, &Error{Reason: Unauthenticated, Message: "no proof can be made of the app's key and secret"}
	}
	perm := map[string]any{"dataType": "secret", "group": "secret.infisical", "version": "v1", "ops": ops}
	body := map[string]any{"app_key": t.key, "timestamp": now.Unix(), "token": string(hash), "perm": perm}
	answer, err := t.post(context.Background(), "/permission/v1alpha1/access", body, nil, true)
	if err != nil {
		return accessToken{}, err
	}
	got := parse(answer.body)
	code, hasCode := field(got, "code").(float64)
	if answer.status == http.StatusOK && hasCode && code == 0 {
		token, isText := field(field(got, "data"), "access_token").(string)
		expiredAt, _ := field(field(got, "data"), "expired_at").(string)
		expires, err := time.Parse(time.RFC3339, expiredAt)
		if isText && tokenForm.MatchString(token) && err == nil {
			return accessToken{token, ops, now.Add(expires.Sub(now) / 5 * 4), expires}, nil
		}
	}
	return accessToken{}, refusal(answer, got, ops)
}

func refusal(answer answer, got any, ops []string) error {
	failed := &Error{Status: answer.status, RetryAfter: retryAfter(answer.headers, field(got, "data"))}
	message, _ := field(got, "message").(string)
	switch {
	case strings.HasSuffix(message, "belongs to another app of this user"):
		failed.Reason, failed.Message = NotGranted, "the workspace belongs to another app of this user"
	case strings.HasPrefix(message, "permission required is not allowed"):
		failed.Reason, failed.Message = NotGranted, "the app holds no grant for what it asks for"
		for _, op := range ops {
			if strings.HasSuffix(message, op) || len(ops) == 1 {
				failed.Grant = op
			}
		}
		if failed.Grant == "" {
			return errUnnamed
		}
	case strings.Contains(message, "request time expired"):
		failed.Reason, failed.Message = Unauthenticated, "the clock is off by more than system-server allows"
	case field(got, "code") == float64(100001), strings.Contains(message, "invalid auth token"), strings.Contains(message, "app not found"):
		failed.Reason = Unauthenticated
		failed.Message = "the app's key or secret was refused, or the clock is more than 10 s off"
	case answer.status == http.StatusTooManyRequests:
		failed.Reason, failed.Message = TooManyRequests, "too many requests for access tokens"
	case answer.status >= 500:
		failed.Reason, failed.Message = Unreachable, fmt.Sprintf("no access token: the answer was %d", answer.status)
	default:
		failed.Reason = NotUnderstood
		failed.Message = fmt.Sprintf("no access token: what answered (%d) is not the secret service", answer.status)
	}
	return failed
}

// tokenFiles sends the pod's ServiceAccount token, which is read anew each minute and when it was refused.
type tokenFiles struct {
	ours, pods string

	mu     sync.Mutex
	read   map[string]string
	readAt time.Time
}

func (t *tokenFiles) headers(context.Context, string) (map[string]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.read != nil && time.Since(t.readAt) < readTokenFileAgain {
		return t.read, nil
	}
	ours, err := tokenIn(t.ours)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{"Authorization": "Bearer " + ours}
	if t.pods != "" {
		pods, err := tokenIn(t.pods)
		if err != nil {
			return nil, err
		}
		headers = map[string]string{"Authorization": "Bearer " + pods, "Temp-Authorization": "Bearer " + ours}
	}
	t.read, t.readAt = headers, time.Now()
	return headers, nil
}

func (t *tokenFiles) refused(map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = nil
}

// tokenForm is what may be sent in a header.
var tokenForm = regexp.MustCompile(`^[\x21-\x7e]+$`)

func tokenIn(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", &Error{Reason: Unauthenticated, Message: "the token file " + path + " cannot be read"}
	}
	token := strings.TrimSpace(string(text))
	if !tokenForm.MatchString(token) {
		return "", &Error{Reason: Unauthenticated, Message: "the file " + path + " holds no token"}
	}
	return token, nil
}

var reasonForm = regexp.MustCompile(`^[A-Z_]{3,40}$`)

// unwrap reads the envelope in each of its forms: documented, the predecessor's, wrapped by system-server.
func unwrap(answer answer, isRead bool) (result, error) {
	envelope := parse(answer.body)
	code, hasCode := field(envelope, "code").(float64)
	isOK, status := answer.status == http.StatusOK, answer.status
	message, _ := field(envelope, "message").(string)
	isForgotten := strings.HasPrefix(message, "token not found in cache or expired") || strings.HasPrefix(message, "data access denied")
	if isOK && hasCode && (code == 100001 || code == 1 && isForgotten) {
		return result{}, &Error{Reason: Unauthenticated, Message: "system-server refused the access token", Status: status}
	}
	isFailure := !isOK
	if isOK && hasCode && code == 1 {
		// system-server's sentence: the status of what it called, and the answer; or that there was none.
		isFailure = true
		if called := calledStatus.FindStringSubmatch(message); called != nil {
			status, _ = strconv.Atoi(called[1])
		} else if strings.HasPrefix(message, "invoke provider err: ") {
			failed := &Error{Reason: Unreachable, Message: "system-server had no answer"}
			if !isRead {
				failed.Reason = OutcomeUnknown
			}
			return result{}, failed
		}
		envelope = nil
		if begin := strings.IndexByte(message, '{'); begin >= 0 {
			envelope = parse([]byte(message[begin:]))
		}
	} else if wrapped := field(envelope, "data"); isOK && hasCode && code == 0 && field(wrapped, "code") != nil {
		envelope = wrapped
	}
	code, hasCode = field(envelope, "code").(float64)
	if !isFailure && hasCode && (code == 0 || code == 200) {
		return result{field(envelope, "data"), answer.headers.Get("ETag")}, nil
	}
	if isOK && hasCode && code >= 400 && code < 600 {
		status = int(code)
	}
	return result{}, failureIn(answer, envelope, status, isRead)
}

var calledStatus = regexp.MustCompile(`^invoke provider err: code (\d{3})\b`)

func failureIn(answer answer, envelope any, status int, isRead bool) error {
	data := field(envelope, "data")
	failed := &Error{Status: status, RequestID: answer.headers.Get("X-Request-Id"), RetryAfter: retryAfter(answer.headers, data)}
	failed.Grant, _ = field(data, "grant").(string)
	if id, isText := field(data, "requestId").(string); isText {
		failed.RequestID = id
	}
	reason, _ := field(data, "reason").(string)
	switch {
	case reasonForm.MatchString(reason):
		failed.Reason = Reason(reason)
		failed.Message, _ = field(envelope, "message").(string)
	// A gateway in between: it may have passed a write on.
	case status == http.StatusTooManyRequests:
		failed.Reason, failed.Message = TooManyRequests, "too many requests"
	case status >= 500 && !isRead:
		failed.Reason, failed.Message = OutcomeUnknown, fmt.Sprintf("something between here and the service answered %d", status)
	case status >= 500:
		failed.Reason, failed.Message = Unreachable, fmt.Sprintf("something between here and the service answered %d", status)
	default:
		failed.Reason, failed.Message = NotUnderstood, fmt.Sprintf("what answered (%d) is not the secret service", status)
	}
	return failed
}

func notUnderstood(operation string) error {
	return &Error{Reason: NotUnderstood, Message: "what answered " + operation + " is not the secret service"}
}

// retryAfter returns 0 for a date, as a gateway may send it.
func retryAfter(headers http.Header, data any) time.Duration {
	seconds, err := strconv.ParseFloat(headers.Get("Retry-After"), 64)
	if err != nil {
		seconds, _ = field(data, "retryAfterSeconds").(float64)
	}
	// More than fits, and what is no number, is more than anybody waits.
	if math.IsNaN(seconds) || seconds < 0 {
		return 0
	}
	return time.Duration(math.Min(seconds, 1e9) * float64(time.Second))
}

// parse returns nil for what is no JSON.
func parse(text []byte) any {
	var parsed any
	if json.Unmarshal(text, &parsed) != nil {
		return nil
	}
	return parsed
}

func field(object any, name string) any {
	fields, _ := object.(map[string]any)
	return fields[name]
}

// backOff returns how long to wait before the next attempt: longer each time, with a random part.
func backOff(retries int) time.Duration {
	wait := math.Min(float64(5*time.Second), float64(100*time.Millisecond)*math.Pow(2, float64(retries)))
	return time.Duration(wait * (0.5 + random()/2))
}

// random returns a number from 0 to 1; math/rand has the same ones in every process before Go 1.20.
func random() float64 {
	var bits [8]byte
	_, _ = rand.Read(bits[:])
	return float64(binary.BigEndian.Uint64(bits[:])>>11) / (1 << 53)
}

// pause returns the context's error where that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func min[T int | int64](a, b T) T {
	if a < b {
		return a
	}
	return b
}
