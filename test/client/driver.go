// Makes the calls of the Go client that are given as a JSON list in its argument, one after the other, and prints a list of
// {"result": ...} or {"error": reason}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"olaressecrets"
)

type call struct {
	Method, Of, Name, Value, Suffix, Fallback string
}

func main() {
	at := olaressecrets.WithURL
	if os.Getenv("VIA_SYSTEM_SERVER") != "" {
		at = olaressecrets.WithSystemServer
	}
	vault, err := olaressecrets.New(os.Getenv("WORKSPACE"), at(os.Getenv("URL")), olaressecrets.WithEnvironment("dev"),
		olaressecrets.WithApp(os.Getenv("APP_KEY"), os.Getenv("APP_SECRET")), olaressecrets.WithUserToken(os.Getenv("USER_TOKEN")))
	fatal(err)
	var calls []call
	fatal(json.Unmarshal([]byte(os.Args[1]), &calls))
	var printed []map[string]any
	for _, asked := range calls {
		result, err := do(vault, asked)
		var failed *olaressecrets.Error
		if errors.As(err, &failed) {
			printed = append(printed, map[string]any{"error": failed.Reason})
			continue
		}
		fatal(err)
		printed = append(printed, map[string]any{"result": result})
	}
	fatal(json.NewEncoder(os.Stdout).Encode(printed))
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
