// Command health says what GitOps tools make of objects, by their own libraries.
//
// It reads a JSON array of objects from standard input, and writes one of verdicts: {"argo": {"status", "message"},
// "kstatus": {"status", "message"}, "flux": {"status", "message"}}.
// Arguments: a file with Argo CD's health script, and one with Flux's health check expressions.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	wholenumbers "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(scriptFile, expressionsFile string) error {
	script, err := os.ReadFile(scriptFile)
	if err != nil {
		return err
	}
	written, err := os.ReadFile(expressionsFile)
	if err != nil {
		return err
	}
	var checks []kustomize.CustomHealthCheck
	if err := yaml.UnmarshalStrict(written, &checks); err != nil {
		return err
	}
	given, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var objects []any
	if err := wholenumbers.Unmarshal(given, &objects); err != nil {
		return err
	}
	verdicts := make([]map[string]verdict, 0, len(objects))
	for _, item := range objects {
		object, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("%v is no object", item)
		}
		judged := unstructured.Unstructured{Object: object}
		argo, err := argoHealth(string(script), object)
		if err != nil {
			return fmt.Errorf("%s/%s: the script: %w", judged.GetKind(), judged.GetName(), err)
		}
		flux, err := fluxHealth(checks, &judged)
		if err != nil {
			return fmt.Errorf("%s/%s: the expressions: %w", judged.GetKind(), judged.GetName(), err)
		}
		found, err := status.Compute(&judged)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, map[string]verdict{
			"argo":    argo,
			"flux":    flux,
			"kstatus": {string(found.Status), found.Message},
		})
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

// argoHealth runs a script as Argo CD does (util/lua): in gopher-lua, with few libraries and a second's time.
func argoHealth(script string, object map[string]any) (verdict, error) {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString,
	} {
		if err := machine.CallByParam(lua.P{Fn: machine.NewFunction(open), NRet: 0, Protect: true}, lua.LString(name)); err != nil {
			return verdict{}, err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	machine.SetContext(limited)
	machine.SetGlobal("obj", toLua(machine, object))
	if err := machine.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := machine.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("it returned %s, not a table", machine.Get(-1).Type())
	}
	return verdict{lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))}, nil
}

func toLua(machine *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case int64:
		return lua.LNumber(known)
	case float64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []any:
		table := machine.CreateTable(len(known), 0)
		for _, item := range known {
			table.Append(toLua(machine, item))
		}
		return table
	case map[string]any:
		table := machine.CreateTable(0, len(known))
		for key, item := range known {
			table.RawSetString(key, toLua(machine, item))
		}
		return table
	}
	return lua.LNil
}

func fluxHealth(checks []kustomize.CustomHealthCheck, object *unstructured.Unstructured) (verdict, error) {
	for _, check := range checks {
		if check.APIVersion != object.GetAPIVersion() || check.Kind != object.GetKind() {
			continue
		}
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return verdict{}, err
		}
		found, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return verdict{}, err
		}
		return verdict{string(found.Status), found.Message}, nil
	}
	return verdict{}, fmt.Errorf("no expressions for %s %s", object.GetAPIVersion(), object.GetKind())
}
