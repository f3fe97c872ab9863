// Makes calls of the Go client. Takes lines of JSON, each with the settings of a vault and the calls that it makes one after the other;
// answers each line by one with a list of {"result": ...} or {"error": reason}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"olaressecrets"
)

type call struct {
	Method, Of, Name, Value, Suffix, Fallback string
}

type line struct {
	Settings map[string]string
	Calls    []call
}

func main() {
	lines, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var asked line
		err := lines.Decode(&asked)
		if errors.Is(err, io.EOF) {
			return
		}
		fatal(err)
		fatal(answers.Encode(answer(asked)))
	}
}

func answer(asked line) []map[string]any {
	settings := asked.Settings
	at := olaressecrets.WithURL
	if settings["VIA_SYSTEM_SERVER"] != "" {
		at = olaressecrets.WithSystemServer
	}
	vault, err := olaressecrets.New(settings["WORKSPACE"], at(settings["URL"]), olaressecrets.WithEnvironment("dev"),
		olaressecrets.WithApp(settings["APP_KEY"], settings["APP_SECRET"]), olaressecrets.WithUserToken(settings["USER_TOKEN"]))
	fatal(err)
	var outcomes []map[string]any
	for _, call := range asked.Calls {
		result, err := do(vault, call)
		var failed *olaressecrets.Error
		if errors.As(err, &failed) {
			outcomes = append(outcomes, map[string]any{"error": failed.Reason})
			continue
		}
		fatal(err)
		outcomes = append(outcomes, map[string]any{"result": result})
	}
	return outcomes
}

func do(vault *olaressecrets.Vault, asked call) (any, error) {
	ctx := context.Background()
	switch asked.Method {
	case "retrieve":
		return vault.Retrieve(ctx, asked.Name)
	case "getOr":
		return vault.GetOr(ctx, asked.Name, asked.Fallback)
	case "list":
		secrets, err := vault.List(ctx)
		rows := []map[string]string{}
		for _, secret := range secrets {
			rows = append(rows, map[string]string{"name": secret.Name, "value": secret.Value})
		}
		return rows, err
	case "append":
		return vault.UpdateFunc(ctx, asked.Name, func(current string) (string, error) { return current + asked.Suffix, nil })
	case "create":
		return nil, vault.Create(ctx, asked.Name, asked.Value)
	case "update":
		return nil, vault.Update(ctx, asked.Name, asked.Value)
	case "put":
		return nil, vault.Put(ctx, asked.Name, asked.Value)
	case "delete":
		return nil, vault.Delete(ctx, asked.Name)
	case "grantOf":
		// Of a call that must be refused, the grant that the refusal names.
		asked.Method = asked.Of
		_, err := do(vault, asked)
		var failed *olaressecrets.Error
		if !errors.As(err, &failed) || failed.Reason != olaressecrets.NotGranted {
			return nil, fmt.Errorf("it was not refused: %v", err)
		}
		if failed.Grant == "" {
			return nil, nil
		}
		return failed.Grant, nil
	}
	return nil, fmt.Errorf("a vector has the unknown method %s", asked.Method)
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
