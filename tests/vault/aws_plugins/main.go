// Vault's own auth method and secrets engine `aws` as plugins, which OpenBao runs beside itself: OpenBao has neither.
// The name of the program, aws or aws-secrets, decides which one it is.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"
	auth "github.com/hashicorp/vault/builtin/credential/aws"
	secrets "github.com/hashicorp/vault/builtin/logical/aws"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	var meta api.PluginAPIClientMeta
	if err := meta.FlagSet().Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	options := plugin.ServeOpts{
		BackendFactoryFunc: auth.Factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
	}
	if filepath.Base(os.Args[0]) == "aws-secrets" {
		options.BackendFactoryFunc = secrets.Factory
	}
	if err := plugin.ServeMultiplex(&options); err != nil {
		log.Fatal(err)
	}
}
