import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';

import { baselineCapabilities } from '#operator/admission/inject/privileges.ts';
import { sidecarContainerName } from '#crds/v1alpha1/names.ts';
import { weatherPod } from '#test/unit/admission/pods.ts';
import {
  type GuardedCluster,
  removeWebhook,
  startGuardedCluster,
  waitUntilRefused,
  withAccount,
} from './guarded-cluster.ts';
import { repository } from './helm.ts';
import { type Loose, injected } from './injected-pod.ts';

const pods = '/api/v1/namespaces/team-a/pods';
let cluster: GuardedCluster;

beforeAll(async () => {
  cluster = await startGuardedCluster();
  await waitUntilRefused(() => cluster.createPod(weatherPod()));
  await removeWebhook(cluster);
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** Pods of the golden corpus that the webhook refuses for their privileges, and what it says. */
function refusedPods(): readonly { readonly name: string; readonly spec: Loose; readonly says: string }[] {
  const folder = join(repository, 'test/golden/inject');
  const load = (file: string): Loose => parse(readFileSync(join(folder, file), 'utf8'));
  return readdirSync(folder)
    .filter((file) => file.endsWith('.out.yaml'))
    .map((file) => ({ name: file.replace('.out.yaml', ''), golden: load(file) }))
    .filter(({ golden }) => ['privileged', 'capabilities', 'procMount', 'hostPath'].includes(golden.reason as string))
    .map(({ name, golden }) => ({
      name,
      spec: load(`${name}.in.yaml`).spec,
      says: (golden.message as string).replace(/^MCP Keyring \(\w+\): /u, ''),
    }));
}

/** The same pod with the sidecar in it, as if the webhook had overlooked the rest. */
function overlooked(spec: Loose): Loose {
  return injected((pod) => {
    const initContainers = [...(spec.initContainers ?? []), ...pod.spec.initContainers];
    pod.spec = { ...pod.spec, ...spec, initContainers, volumes: [...pod.spec.volumes, ...(spec.volumes ?? [])] };
  });
}

const withCapabilities = (...add: readonly string[]): object => ({ securityContext: { capabilities: { add } } });

describe('beside the sidecar', () => {
  test('the golden corpus has every such attack', () => {
    expect(refusedPods().length).toBeGreaterThanOrEqual(12);
  });

  test.each(refusedPods())('$name is refused by the policy with the words of the webhook', async ({ spec, says }) => {
    const answer = await cluster.createPod(overlooked(spec));
    // Kubernetes itself takes no host process beside other containers.
    expect(answer.message).toContain(
      spec.containers[0].securityContext?.windowsOptions === undefined ? says : 'HostProcess',
    );
    expect([403, 422]).toContain(answer.status);
  });

  test.each(['CAP_SYS_ADMIN', 'Sys_Admin', 'net_raw', 'all', 'chown', 'SYS_MODULE', 'BPF', 'CHECKPOINT_RESTORE', ''])(
    'the capability "%s" is refused, at the application and at an init container',
    async (name) => {
      const atServer = await cluster.createPod(
        injected((pod) => Object.assign(pod.spec.containers[0], withCapabilities(name))),
      );
      expect(atServer.message).toContain(`container "server" adds the capabilities "${name}"`);
      const setup = { name: 'setup', image: 'a', ...withCapabilities(name) };
      const atInit = await cluster.createPod(injected((pod) => pod.spec.initContainers.push(setup)));
      expect(atInit.message).toContain(`container "setup" adds the capabilities "${name}"`);
    },
  );

  test.each(['NET_ADMIN', 'NET_RAW'])('%s is for init containers that end', async (name) => {
    const setup = { name: 'istio-init', image: 'a', ...withCapabilities(name) };
    expect(await cluster.createPod(injected((pod) => pod.spec.initContainers.unshift(setup)))).toMatchObject({
      status: 201,
    });
    const staying = { ...setup, restartPolicy: 'Always' };
    const answer = await cluster.createPod(injected((pod) => pod.spec.initContainers.unshift(staying)));
    expect(answer.message).toContain('container "istio-init" adds the capabilities');
  });

  test('a second container is looked at as the first', async () => {
    const second = { name: 'second', image: 'a', securityContext: { privileged: true } };
    const answer = await cluster.createPod(injected((pod) => pod.spec.containers.push(second)));
    expect(answer.message).toContain('container "second" is privileged');
  });

  test('a name that is no sentence gets a plain refusal', async () => {
    const answer = await cluster.createPod(
      injected((pod) =>
        Object.assign(pod.spec.containers[0], withCapabilities('SYS_ADMIN\n\u0000', 'x'.repeat(9_000))),
      ),
    );
    expect(answer.message).toContain('a container beside the sidecar adds capabilities');
    expect([403, 422]).toContain(answer.status);
  });

  test('a large pod stays within what policies may cost', async () => {
    const large = injected((pod) => {
      for (let number = 0; number < 100; number += 1) {
        pod.spec.containers.push({ name: `c${number}`, image: 'a', ...withCapabilities(...baselineCapabilities) });
        pod.spec.initContainers.push({ name: `i${number}`, image: 'a', ...withCapabilities(...baselineCapabilities) });
        pod.spec.volumes.push({ name: `v${number}`, emptyDir: {} });
      }
    });
    expect(await cluster.createPod(large)).toMatchObject({ status: 201, message: '' });
  });

  test('pods of others may do what the cluster lets them', async () => {
    const answer = await cluster.createPod(
      weatherPod({
        metadata: { labels: { app: 'other' } },
        spec: {
          containers: [{ name: 'a', image: 'a', securityContext: { privileged: true } }],
          volumes: [{ name: 'node', hostPath: { path: '/' } }],
        },
      }),
    );
    expect(answer).toMatchObject({ status: 201, message: '' });
  });
});

describe('a debug container that', () => {
  beforeAll(async () => {
    const ownUsers = injected((pod) => Object.assign(pod, { metadata: { ...pod.metadata, name: 'own-users' } }));
    ownUsers.spec.hostUsers = false;
    const plain = weatherPod({ metadata: { name: 'plain', labels: { app: 'plain' } } });
    for (const pod of [injected(), ownUsers, plain]) {
      const { status, message } = await cluster.call({ method: 'POST', path: pods, body: withAccount(pod) });
      if (status !== 201) throw new Error(message);
    }
  });

  const debug = (container: object, name = 'weather'): ReturnType<GuardedCluster['call']> =>
    cluster.call({
      method: 'PATCH',
      path: `${pods}/${name}/ephemeralcontainers`,
      body: { spec: { ephemeralContainers: [{ name: 'debugger', image: 'busybox', ...container }] } },
      dryRun: true,
    });

  test.each([
    [
      'looks at the processes of the sidecar',
      { targetContainerName: sidecarContainerName },
      'may not look into the sidecar',
    ],
    [
      'mounts the token',
      { volumeMounts: [{ name: 'mcp-keyring-identity', mountPath: '/loot' }] },
      'may not mount the volumes of the sidecar',
    ],
    ['is privileged', { securityContext: { privileged: true } }, 'may not be privileged'],
    // Kubernetes itself takes no host process beside other containers.
    ['is a host process', { securityContext: { windowsOptions: { hostProcess: true } } }, 'HostProcess'],
    ['has a port', { ports: [{ containerPort: 80, hostPort: 80 }] }, 'cannot be set for an Ephemeral Container'],
  ])('%s: refused', async (_, container, refusedWith) => {
    expect((await debug(container)).message).toContain(refusedWith);
  });

  test('sees more of /proc, in a pod that has users of its own: refused', async () => {
    const container = { securityContext: { procMount: 'Unmasked' } };
    expect((await debug(container, 'own-users')).message).toContain('another procMount than Default');
    expect((await debug({}, 'own-users')).status).toBe(200);
  });

  test.each([
    ['SYS_PTRACE'],
    ['sys_ptrace'],
    ['sys_admin', 'sys_ptrace'],
    ['CAP_SYS_ADMIN'],
    ['ALL'],
    ['all'],
    ['SYS_MODULE'],
    ['SYS_RAWIO'],
    ['DAC_READ_SEARCH'],
    ['CHOWN', 'NET_RAW'],
    ['NET_ADMIN'],
    ['chown'],
  ])('adds %s %s: refused', async (...add) => {
    expect((await debug(withCapabilities(...add))).message).toContain(
      'add capabilities beyond the Pod Security Standard baseline',
    );
  });

  test.each([
    ['nothing special', {}],
    ['every baseline capability', { capabilities: { add: [...baselineCapabilities] } }],
    ['the restricted profile of kubectl', { runAsNonRoot: true, capabilities: { drop: ['ALL'] } }],
    ['the default said aloud', { privileged: false, procMount: 'Default' }],
  ])('looks at the server with %s: taken', async (_, securityContext) => {
    expect(await debug({ targetContainerName: 'server', securityContext })).toMatchObject({ status: 200 });
  });

  test('is privileged in a pod of others: as ever', async () => {
    expect(await debug({ securityContext: { privileged: true } }, 'plain')).toMatchObject({ status: 200 });
  });
});
