import { decideInjection } from '#operator/admission/inject/decide.ts';
import { applyPatch, testWorld, weatherPod } from '#test/unit/admission/pods.ts';

/* eslint-disable typescript/no-explicit-any -- attacks write what no type allows */
export type Loose = any;

/** What the injector makes of the plain pod, with something changed on the way. */
export function injected(change: (pod: Loose, sidecar: Loose) => void = () => undefined): Loose {
  const plain = weatherPod();
  const injection = decideInjection(plain, 'team-a', testWorld());
  if (injection.kind !== 'patch') throw new Error(`not injected: ${JSON.stringify(injection)}`);
  const pod = applyPatch(plain, injection.operations) as Loose;
  change(pod, pod.spec.initContainers[0]);
  return pod;
}
