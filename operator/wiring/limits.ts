import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ClusterLimitStore } from '#operator/limits/cluster-limit-store.ts';
import type { LimitStore } from '#operator/limits/limit-store.ts';
import { RedisLimitStore } from '#operator/limits/redis-limit-store.ts';

import type { Platform } from './platform.ts';

/** Where this installation counts. */
export function limitStoreOf({ options, client, clock, log }: Platform): LimitStore {
  const common = { nowUnixMs: () => Date.now(), random: Math.random };
  const { limitsRedis } = options;
  if (limitsRedis === undefined) {
    return new ClusterLimitStore({ ...common, client, keyNamespace: options.keyNamespace, clock });
  }
  const { url, credentialsDir } = limitsRedis;
  return new RedisLimitStore({
    ...common,
    url,
    password: textOf(credentialsDir, 'password'),
    ca: textOf(credentialsDir, 'ca.crt'),
    log,
  });
}

function textOf(folder: string | undefined, name: string): string | undefined {
  const path = folder === undefined ? undefined : join(folder, name);
  return path === undefined || !existsSync(path) ? undefined : readFileSync(path, 'utf8').trim();
}
