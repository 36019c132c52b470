// Vault's own auth method `aws` as a plugin, which OpenBao runs beside itself: OpenBao has no such method.
package main

import (
	"log"
	"os"

	"github.com/hashicorp/vault/api"
	aws "github.com/hashicorp/vault/builtin/credential/aws"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	var meta api.PluginAPIClientMeta
	if err := meta.FlagSet().Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	options := plugin.ServeOpts{
		BackendFactoryFunc: aws.Factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
	}
	if err := plugin.ServeMultiplex(&options); err != nil {
		log.Fatal(err)
	}
}
