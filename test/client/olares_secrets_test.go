package olaressecrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"olaressecrets"
)

const (
	found    = `{"code":200,"message":"","data":{"name":"k","value":"fake-value","env":"prod"}}`
	notFound = `{"code":404,"message":"no","data":{"reason":"SECRET_NOT_FOUND","requestId":"r-1"}}`
)

// service answers requests for access tokens, and operations by a function.
func service(t *testing.T, answer func(response http.ResponseWriter, request *http.Request)) (url string, tokens *atomic.Int32) {
	t.Helper()
	tokens = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/permission/v1alpha1/access" {
			answer(response, request)
			return
		}
		// Long enough for all callers of a test to need it at once.
		time.Sleep(100 * time.Millisecond)
		expires := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
		fmt.Fprintf(response, `{"code":0,"data":{"access_token":"token-%d","expired_at":%q}}`, tokens.Add(1), expires)
	}))
	t.Cleanup(server.Close)
	return server.URL, tokens
}

func answers(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(response http.ResponseWriter, _ *http.Request) {
		response.WriteHeader(status)
		_, _ = io.WriteString(response, body)
	}
}

func open(t *testing.T, url string, options ...olaressecrets.Option) *olaressecrets.Vault {
	t.Helper()
	all := append([]olaressecrets.Option{olaressecrets.WithURL(url), olaressecrets.WithApp("fake-app-key", "fake-app-secret"),
		olaressecrets.WithUserToken("fake-user-token")}, options...)
	vault, err := olaressecrets.New("ws", all...)
	if err != nil {
		t.Fatal(err)
	}
	return vault
}

func TestManyGoroutinesShareOneAccessToken(t *testing.T) {
	url, tokens := service(t, answers(200, found))
	vault := open(t, url)
	var all sync.WaitGroup
	for i := 0; i < 32; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if value, err := vault.Retrieve(context.Background(), "k"); value != "fake-value" || err != nil {
				t.Errorf("%q, %v", value, err)
			}
		}()
	}
	all.Wait()
	if tokens.Load() != 1 {
		t.Errorf("%d access tokens were asked for", tokens.Load())
	}
}

func TestOneWhoGivesUpDoesNotEndTheRequestForATokenOfTheOthers(t *testing.T) {
	url, tokens := service(t, answers(200, found))
	vault := open(t, url)
	ended, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := vault.Retrieve(ended, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := vault.Retrieve(context.Background(), "k"); err != nil || tokens.Load() != 1 {
		t.Errorf("%v after %d requests", err, tokens.Load())
	}
}

func TestErrorsHaveAReasonDetailsAndAGroup(t *testing.T) {
	url, _ := service(t, answers(404, notFound))
	_, err := open(t, url).Retrieve(context.Background(), "k")
	var failed *olaressecrets.Error
	if !errors.Is(err, olaressecrets.SecretNotFound) || !errors.As(err, &failed) {
		t.Fatalf("%v", err)
	}
	if failed.Status != 404 || failed.RequestID != "r-1" || errors.Is(err, olaressecrets.Unavailable) {
		t.Errorf("%+v", failed)
	}
	_, err = open(t, "http://127.0.0.1:1", olaressecrets.WithMaxRetries(0), olaressecrets.WithTokenFile(file(t, "fake-token"))).
		Retrieve(context.Background(), "k")
	if !errors.Is(err, olaressecrets.Unreachable) || !errors.Is(err, olaressecrets.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestAWriteWhoseContextEndsIsOfUnknownOutcomeAndAReadIsNot(t *testing.T) {
	release := make(chan struct{})
	url, _ := service(t, func(_ http.ResponseWriter, _ *http.Request) { <-release })
	defer close(release)
	vault := open(t, url, olaressecrets.WithTokenFile(file(t, "fake-token")))
	ended := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for _, err := range []error{vault.Create(ended(), "k", "v"), vault.Put(ended(), "k", "v")} {
		if !errors.Is(err, olaressecrets.OutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	_, err := vault.Retrieve(ended(), "k")
	if errors.Is(err, olaressecrets.OutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestNothingPrintedHasASecretInIt(t *testing.T) {
	url, _ := service(t, answers(409, `{"code":409,"message":"no","data":{"reason":"SECRET_ALREADY_EXISTS"}}`))
	vault := open(t, url)
	err := vault.Create(context.Background(), "k", "fake-value")
	holder := struct {
		Shown  *olaressecrets.Vault
		hidden *olaressecrets.Vault
		copied olaressecrets.Vault
	}{vault, vault, *vault}
	asJSON, _ := json.Marshal(holder)
	printed := string(asJSON)
	for _, object := range []any{vault, *vault, holder, &holder, err, olaressecrets.WithApp("fake-app-key", "fake-app-secret")} {
		printed += fmt.Sprintf("%v %+v %#v %s %q\n", object, object, object, object, object)
	}
	for _, secret := range []string{"fake-value", "fake-app-secret", "fake-app-key", "fake-user-token", "token-1"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s is in %s", secret, printed)
		}
	}
	if fmt.Sprint(vault) != "olaressecrets.Vault(ws, prod)" {
		t.Errorf("%v", vault)
	}
}

func TestATokenFileIsReadAnewWhereItsTokenWasRefused(t *testing.T) {
	path, pod := file(t, "fake-token-1\n"), file(t, "fake-pod-token")
	var seen []string
	url, tokens := service(t, func(response http.ResponseWriter, request *http.Request) {
		ours := request.Header.Get("Temp-Authorization")
		seen = append(seen, ours)
		if request.Header.Get("Authorization") != "Bearer fake-pod-token" {
			t.Errorf("Authorization of %s", request.URL)
		}
		if ours == "Bearer fake-token-1" && len(seen) > 1 {
			answers(401, `{"code":401,"message":"no","data":{"reason":"UNAUTHENTICATED"}}`)(response, request)
			return
		}
		answers(200, found)(response, request)
	})
	vault := open(t, url, olaressecrets.WithTokenFile(path), olaressecrets.WithPodTokenFile(pod))
	for _, next := range []string{"fake-token-2", ""} {
		if _, err := vault.Retrieve(context.Background(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := "[Bearer fake-token-1 Bearer fake-token-1 Bearer fake-token-2]"
	if fmt.Sprint(seen) != want || tokens.Load() != 0 {
		t.Errorf("%v", seen)
	}
	for _, text := range []string{"two lines\nof text", ""} {
		_, err := open(t, url, olaressecrets.WithTokenFile(file(t, text))).Retrieve(context.Background(), "k")
		if !errors.Is(err, olaressecrets.Unauthenticated) || strings.Contains(err.Error(), "of text") {
			t.Errorf("%v", err)
		}
	}
}

func TestTextThatIsNotUTF8IsRefusedAndNotChanged(t *testing.T) {
	url, _ := service(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	if err := open(t, url).Put(context.Background(), "k", "\xff"); !errors.Is(err, olaressecrets.InvalidRequest) {
		t.Errorf("%v", err)
	}
}

func TestUpdateFuncReturnsTheErrorOfItsFunctionAndLeavesAnEqualValue(t *testing.T) {
	url, _ := service(t, func(response http.ResponseWriter, request *http.Request) {
		if !strings.HasPrefix(request.URL.Path, "/RetrieveSecret") {
			t.Errorf("%s was called", request.URL)
		}
		response.Header().Set("ETag", `"one"`)
		answers(200, found)(response, request)
	})
	vault, own := open(t, url), errors.New("of its own")
	_, err := vault.UpdateFunc(context.Background(), "k", func(string) (string, error) { return "", own })
	if err != own {
		t.Errorf("%v", err)
	}
	value, err := vault.UpdateFunc(context.Background(), "k", func(current string) (string, error) { return current, nil })
	if value != "fake-value" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

func TestAVaultNeedsAnAddressAndAProof(t *testing.T) {
	app := olaressecrets.WithApp("k", "s")
	for want, options := range map[string][]olaressecrets.Option{
		"WithURL or WithSystemServer": {app},
		"either WithURL":              {app, olaressecrets.WithURL("a"), olaressecrets.WithSystemServer("b")},
		"WithApp or WithTokenFile":    {olaressecrets.WithURL("a")},
	} {
		if _, err := olaressecrets.New("ws", options...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnOperationThatWasRefusedIsAskedForAgainAfterAMinute(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		if request.URL.Path != "/permission/v1alpha1/access" {
			_, _ = io.WriteString(response, found)
			return
		}
		asked = append(asked, string(body))
		if len(asked) == 1 {
			_, _ = io.WriteString(response, `{"code":1,"message":"permission required is not allowed: DeleteSecret?workspace=ws"}`)
			return
		}
		expires := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
		fmt.Fprintf(response, `{"code":0,"data":{"access_token":"token-%d","expired_at":%q}}`, len(asked), expires)
	}))
	t.Cleanup(server.Close)
	vault, ctx := open(t, server.URL), context.Background()
	expect := func(requests int) {
		t.Helper()
		if len(asked) != requests {
			t.Fatalf("%d access tokens were asked for, not %d", len(asked), requests)
		}
	}
	for range [2]int{} {
		if err := vault.Delete(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		expect(2)
	}
	olaressecrets.SetAskAgainAfter(0)
	t.Cleanup(func() { olaressecrets.SetAskAgainAfter(time.Minute) })
	if _, err := vault.Retrieve(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	expect(2)
	if err := vault.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	expect(3)
	if strings.Contains(asked[1], "DeleteSecret") || !strings.Contains(asked[2], "DeleteSecret") {
		t.Fatalf("asked for %s, then for %s", asked[1], asked[2])
	}
}

func TestPutAndUpdateFuncReturnTheErrorOfAContextThatEndsWhileTheyPause(t *testing.T) {
	taken := `{"code":409,"message":"no","data":{"reason":"SECRET_ALREADY_EXISTS"}}`
	changed := `{"code":412,"message":"no","data":{"reason":"PRECONDITION_FAILED"}}`
	away := `{"code":503,"message":"no","data":{"reason":"SHUTTING_DOWN"}}`
	const (
		answered = iota
		lost
		lostOnce
		gone
	)
	var stage atomic.Int32
	// Whether the value was read since the last write: then it is known.
	var isRead atomic.Bool
	url, _ := service(t, func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("ETag", `"one"`)
		switch {
		case stage.Load() == gone:
			answers(503, away)(response, request)
		case strings.HasPrefix(request.URL.Path, "/RetrieveSecret"):
			isRead.Store(true)
			answers(200, found)(response, request)
		case stage.Load() != answered:
			isRead.Store(false)
			stage.CompareAndSwap(lostOnce, gone)
			panic(http.ErrAbortHandler)
		case request.Header.Get("If-Match") != "":
			answers(412, changed)(response, request)
		case strings.HasPrefix(request.URL.Path, "/UpdateSecret"):
			answers(404, notFound)(response, request)
		default:
			answers(409, taken)(response, request)
		}
	})
	vault := open(t, url, olaressecrets.WithTokenFile(file(t, "fake-token")), olaressecrets.WithMaxRetries(1000))
	ended := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	put := func() error { return vault.Put(ended(), "k", "v") }
	update := func() error {
		_, err := vault.UpdateFunc(ended(), "k", func(string) (string, error) { return "other", nil })
		return err
	}
	for _, call := range []func() error{put, update} {
		for _, at := range []int32{answered, lost, lostOnce} {
			stage.Store(at)
			err := call()
			isUnsaid := at != answered && !isRead.Load() && !errors.Is(err, olaressecrets.OutcomeUnknown)
			if isUnsaid || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d: %v", at, err)
			}
		}
	}
}

func TestATokenIsUsedUntilItEndsWhereItsRenewalFails(t *testing.T) {
	var requests atomic.Int32
	var seen atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/permission/v1alpha1/access" {
			seen.Store(request.Header.Get("X-Access-Token"))
			_, _ = io.WriteString(response, found)
			return
		}
		number := requests.Add(1)
		if number == 2 {
			response.WriteHeader(http.StatusNotFound)
			return
		}
		expires := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
		fmt.Fprintf(response, `{"code":0,"data":{"access_token":"token-%d","expired_at":%q}}`, number, expires)
	}))
	t.Cleanup(server.Close)
	vault := open(t, server.URL)
	retrieve := func(token string) {
		t.Helper()
		if _, err := vault.Retrieve(context.Background(), "k"); err != nil || seen.Load() != token {
			t.Fatalf("%v with %v", err, seen.Load())
		}
	}
	retrieve("token-1")
	for _, wanted := range []int32{2, 3} {
		vault.RenewNow()
		retrieve("token-1")
		for end := time.Now().Add(20 * time.Second); requests.Load() < wanted && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		vault.AwaitRequest()
	}
	retrieve("token-3")
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for _, address := range []string{"http://a b", "http://h:x", "ftp://h", "http://k:s@h", "http://h?", "http://h#"} {
		if _, err := olaressecrets.New("ws", olaressecrets.WithURL(address), olaressecrets.WithApp("k", "s")); err == nil {
			t.Errorf("%s", address)
		}
	}
}
