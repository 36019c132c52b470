package stsecrets

import (
	"context"
	"fmt"
	"os"
	"time"
)

// do runs one step of the shared table.
func (w *world) do(step object) (object, error) {
	key, _ := step["key"].(string)
	text, _ := step["value"].(string)
	switch step["do"] {
	case "env.set":
		if step["value"] == nil {
			return nil, os.Unsetenv(step["name"].(string))
		}
		return nil, os.Setenv(step["name"].(string), text)
	case "sleep":
		time.Sleep(timeOf(step["seconds"]))
		return nil, nil
	case "file.read":
		content, err := os.ReadFile(w.path(step["path"]))
		return object{"value": string(content)}, err
	case "file.mode":
		info, err := os.Stat(w.path(step["path"]))
		return object{"value": fmt.Sprintf("%o", info.Mode().Perm())}, err
	case "file.write":
		w.write(step["path"], step)
		return nil, nil
	case "cache.get":
		return cached(w.cache, key)
	case "cache.set":
		return nil, w.cache.Set(key, []byte(text), ttl(step["ttl"]))
	case "cache.delete":
		existed, err := w.cache.Delete(key)
		return object{"existed": existed}, err
	case "cache.clear":
		count, err := w.cache.Clear()
		return object{"count": count}, err
	case "cache.invalidate_prefix":
		count, err := w.cache.InvalidatePrefix(step["prefix"].(string))
		return object{"count": count}, err
	case "cache.stats":
		return w.stats(step)
	case "cache.get_or_load":
		called := false
		value, err := w.cache.GetOrLoad(context.Background(), key, load(step["load"].(object), &called))
		if err != nil {
			return object{"failed": true, "loaded": called}, nil
		}
		return object{"value": string(value), "loaded": called}, nil
	case "provider_cache.get":
		return cached(ProviderConfigCache(), key)
	case "provider_cache.set":
		return nil, ProviderConfigCache().Set(key, []byte(text), DefaultTTL)
	case "user_cache.get":
		return cached(UserPermissionCache(), key)
	case "user_cache.set":
		return nil, UserPermissionCache().Set(key, []byte(text), DefaultTTL)
	case "invalidate_provider":
		count, err := InvalidateProvider(step["provider"].(string))
		return object{"count": count}, err
	case "invalidate_user":
		count, err := InvalidateUser(int64(step["user_id"].(float64)))
		return object{"count": count}, err
	}
	if w.store != nil {
		return w.keep(step, text)
	}
	if w.cipher != nil {
		return w.encrypt(step, text)
	}
	return w.find(step, key, text)
}

func cached(cache *Cache, key string) (object, error) {
	value, err := cache.Get(key)
	return object{"value": string(value)}, err
}

func (w *world) stats(step object) (object, error) {
	stats, err := w.cache.Stats()
	all := object{"entries": stats.Entries, "max_size": stats.MaxSize, "default_ttl": stats.DefaultTTL.Seconds(), "evictions": stats.Evictions}
	wanted := object{}
	for name := range step["expect"].(object)["stats"].(object) {
		wanted[name] = all[name]
	}
	return object{"stats": wanted}, err
}

// revealed returns the value of a secret, and closes it.
func revealed(secret *Secret, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	defer secret.Close()
	value, err := secret.Bytes()
	return object{"value": string(value)}, err
}

// described returns the value and the origin of a secret, and closes it.
func described(secret *Secret, info Info, err error) (object, error) {
	answer, err := revealed(secret, err)
	if err == nil {
		answer["provider"], answer["source"], answer["info"] = info.Provider, info.Source, names(info)
	}
	return answer, err
}

func (w *world) find(step object, key, text string) (object, error) {
	ctx := context.Background()
	switch step["do"] {
	case "secrets.get":
		return revealed(w.secrets.Get(ctx, key))
	case "secrets.get_replicate_token":
		return revealed(w.secrets.ReplicateToken(ctx))
	case "secrets.get_hf_token":
		return revealed(w.secrets.HFToken(ctx))
	case "secrets.get_webhook_secret":
		return revealed(w.secrets.WebhookSecret(ctx))
	case "secrets.get_with":
		var flags GetFlags
		for _, flag := range step["flags"].([]any) {
			flags |= map[any]GetFlags{"refresh": Refresh, "cached_only": CachedOnly}[flag]
		}
		return described(w.secrets.GetWith(ctx, key, flags))
	case "secrets.get_many":
		var keys []string
		for _, key := range step["keys"].([]any) {
			keys = append(keys, key.(string))
		}
		found, err := w.secrets.GetMany(background, keys...)
		results := []object{}
		for _, each := range found {
			result := outcome(revealed(each.Secret, each.Err))
			if each.Err == nil {
				delete(result, "status")
			}
			results = append(results, result)
		}
		return object{"results": results}, err
	case "secrets.set":
		return nil, w.secrets.Set(background, key, []byte(text))
	case "secrets.set_replicate_token":
		return nil, w.secrets.SetReplicateToken(background, []byte(text))
	case "secrets.delete":
		existed, err := w.secrets.Delete(background, key)
		return object{"existed": existed}, err
	case "secrets.refresh":
		return nil, w.secrets.Refresh(ctx)
	case "secrets.prefetch":
		return nil, w.secrets.Prefetch(ctx)
	case "secrets.clear_cache":
		return nil, w.secrets.ClearCache()
	case "secrets.share":
		sharing, err := w.secrets.Share()
		return object{"value": sharing.Share, "count": len(sharing.Documents)}, err
	case "process.get_with":
		return w.findInProcess(key)
	case "aws.requests":
		return object{"count": w.awsRequests()}, nil
	case "secrets.file_path":
		path, err := w.secrets.FilePath()
		return object{"value": path}, err
	case "secrets.add_provider":
		answers := step["answers"].(object)
		position := Last
		if number, ok := step["position"].(float64); ok {
			position = int(number)
		}
		return nil, w.secrets.AddProvider(step["name"].(string), position, func(ctx context.Context, key string) ([]byte, time.Duration, error) {
			answer, _ := answers[key].(object)
			called := false
			return load(answer, &called)(ctx, key)
		})
	}
	panic(fmt.Sprintf("%s is unknown", step["do"]))
}

func names(info Info) []string {
	flags := []string{}
	sets := []bool{info.Stale, info.Cached, info.Degraded, info.Shared}
	for i, name := range []string{"stale", "cached", "degraded", "shared"} {
		if sets[i] {
			flags = append(flags, name)
		}
	}
	return flags
}

func (w *world) encrypt(step object, text string) (object, error) {
	token, _ := step["token"].(string)
	switch step["do"] {
	case "cipher.decrypt":
		return revealed(w.cipher.Decrypt(token))
	case "cipher.round_trip":
		token, err := w.cipher.Encrypt([]byte(text))
		if err != nil {
			return nil, err
		}
		answer, err := revealed(w.cipher.Decrypt(token))
		if err == nil {
			answer["length"] = len(token)
		}
		return answer, err
	case "cipher.reencrypt":
		token, changed, err := w.cipher.Reencrypt(token)
		if err != nil {
			return nil, err
		}
		answer, err := revealed(w.cipher.Decrypt(token))
		if err == nil {
			answer["changed"] = changed
		}
		return answer, err
	case "cipher.rotate_key":
		return nil, w.cipher.RotateKey(background)
	}
	panic(fmt.Sprintf("%s is unknown", step["do"]))
}
