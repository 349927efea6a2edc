import { randomUUID } from 'node:crypto';

import { TokenIdentifier } from '#operator/access-tokens/identify-token.ts';
import { AccessTokenIndex } from '#operator/access-tokens/token-index.ts';
import { TokenUses } from '#operator/access-tokens/token-uses.ts';
import { AuditIntake } from '#operator/broker/audit-intake.ts';
import { Denials } from '#operator/broker/denials.ts';
import { DiscoveryLeases } from '#operator/broker/discovery-leases.ts';
import type { LeaseAnswer } from '#operator/broker/lease-service.ts';
import { LeaseService } from '#operator/broker/lease-service.ts';
import { ProbeLeases } from '#operator/broker/probe-lease.ts';
import { PodGate } from '#operator/broker/pod-gate.ts';
import { createPodIdentifier } from '#operator/broker/pod-identifier.ts';
import { Receipts } from '#operator/broker/receipts.ts';
import { RefusalCounts } from '#operator/broker/refusal-counts.ts';
import { SharedLeases } from '#operator/broker/shared-leases.ts';
import { UserGate } from '#operator/broker/user-gate.ts';
import { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import { UseRecorder } from '#operator/key-state/use-recorder.ts';
import { SubjectRecorder } from '#operator/subjects/subject-recorder.ts';
import type { BrokerWorld } from '#test/support/broker-world.ts';

/** The parts of the broker behind HTTP. */
export function servicesOf(world: BrokerWorld) {
  let unrecorded = 0;
  let counted = 0;
  const released: string[] = [];
  const { sources, tenancy, keyStore, audit, log, now, monotonicMs, resourceOf } = world;
  const newId = (): string => randomUUID();
  const observer = {
    denialNotRecorded: () => (unrecorded += 1),
    requestsCounted: (more: number) => (counted += more),
  };
  const denials = new Denials({ audit, observer, log, monotonicMs, now, newId });
  const pods = createPodIdentifier(world);
  const podGate = new PodGate({ pods, denials });
  const userGate = new UserGate({ users: world.users, monotonicMs });
  const receipts = new Receipts({ key: world.options.receiptKey, now });
  const uses = new TokenUses({ client: world.options.client, audit, log, now });
  const sharedKeys = new SharedKeys(world.referencedSecrets);
  const releases = { keyReleased: (source: string) => void released.push(source) };
  const leases = new LeaseService({
    podGate,
    userGate,
    tenancy,
    sources,
    keyStore,
    audit,
    denials,
    observer: releases,
    receipts,
    shared: new SharedLeases({ sharedKeys, denials }),
    discovery: new DiscoveryLeases({ sharedKeys, audit, observer: releases, log, now, newId }),
    probes: new ProbeLeases({ credentials: world.options.probeCredentials, audit, denials, log, now, newId }),
    uses: new UseRecorder({ client: world.options.client, log, now, monotonicMs }),
    subjects: new SubjectRecorder({ client: world.options.client, log, now, monotonicMs }),
    accessTokens: new TokenIdentifier({ index: new AccessTokenIndex(sources.accessTokens), uses, now }),
    resourceOf,
    log,
    now,
    newId,
  });
  const counts = new RefusalCounts({ observer, monotonicMs, now, newId });
  const intake = new AuditIntake({ podGate, tenancy, audit, counts });
  return { leases, released, receipts, intake, denials, podGate, unrecorded: () => unrecorded, counted: () => counted };
}

/** The answer as the sidecar would read it. */
export function readAnswer(answer: LeaseAnswer): unknown {
  if (answer.kind === 'keyless') return answer.response;
  using body = answer.body;
  return JSON.parse(Buffer.concat([body.open, body.secret.bytes]).toString('utf8'));
}
