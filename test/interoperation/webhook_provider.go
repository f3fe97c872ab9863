// Does with a webhook of the External Secrets Operator what its controller does, as far as our examples use it: renders the request by
// text/template with the functions of the operator's engine, sends it, and takes the answer apart. Reads {webhook, secrets, remoteRef} as
// JSON, and prints {"value": ...}, which for a generator is a map, or {"error": ...}.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/crypto/bcrypt"
)

type webhook struct {
	URL, Method, Body, Timeout string
	Headers                    map[string]string
	Result                     struct{ JSONPath string }
}

type given struct {
	Webhook webhook
	// Secrets are the referenced ones, by their name in templates.
	Secrets map[string]map[string]string
	// RemoteRef is missing for a generator.
	RemoteRef map[string]string
}

var functions = template.FuncMap{
	"now":       time.Now,
	"unixEpoch": func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) },
	"toJson": func(value any) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	},
	"bcrypt": func(text string) (string, error) {
		hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.DefaultCost)
		return string(hash), err
	},
}

func main() {
	var asked given
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	printed := map[string]any{}
	if err == nil {
		printed["value"], err = ask(asked)
	}
	if err != nil {
		printed = map[string]any{"error": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(printed); err != nil {
		os.Exit(1)
	}
}

func ask(asked given) (any, error) {
	data := map[string]map[string]string{}
	for name, secret := range asked.Secrets {
		data[name] = secret
	}
	escaped := map[string]map[string]string{}
	for name, secret := range data {
		escaped[name] = secret
	}
	if asked.RemoteRef != nil {
		data["remoteRef"], escaped["remoteRef"] = asked.RemoteRef, map[string]string{}
		for name, text := range asked.RemoteRef {
			escaped["remoteRef"][name] = url.QueryEscape(text)
		}
	}
	address, err := render(asked.Webhook.URL, escaped)
	if err != nil {
		return nil, err
	}
	body, err := render(asked.Webhook.Body, data)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(asked.Webhook.Method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, text := range asked.Webhook.Headers {
		value, err := render(text, data)
		if err != nil {
			return nil, err
		}
		request.Header.Add(name, value)
	}
	timeout, err := time.ParseDuration(asked.Webhook.Timeout)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Timeout: timeout}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, errors.New("the secret does not exist")
	}
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return nil, fmt.Errorf("the endpoint answered %s", response.Status)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var answer any
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	return at(answer, asked.Webhook.Result.JSONPath)
}

func render(text string, data map[string]map[string]string) (string, error) {
	parsed, err := template.New("webhook").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var result strings.Builder
	err = parsed.Execute(&result, data)
	return result.String(), err
}

// at follows a path of names, and fails where one is missing.
func at(value any, path string) (any, error) {
	names := strings.Split(path, ".")
	for _, name := range names[1:] {
		fields, _ := value.(map[string]any)
		next, isThere := fields[name]
		if !isThere {
			return nil, fmt.Errorf("unknown key %s", name)
		}
		value = next
	}
	return value, nil
}
