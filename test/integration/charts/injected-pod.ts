import { decideInjection } from '#operator/admission/inject/decide.ts';
import { agentPod, applyPatch, testWorld, weatherPod } from '#test/unit/admission/pods.ts';

/* eslint-disable typescript/no-explicit-any -- attacks write what no type allows */
export type Loose = any;

/** What the injector makes of the plain pod of a server, with something changed on the way. */
export function injected(change: Change = () => undefined): Loose {
  return injectedFrom(weatherPod(), change);
}

/** The same of the plain pod of an agent. */
export function injectedAgent(change: Change = () => undefined): Loose {
  return injectedFrom(agentPod(), change);
}

type Change = (pod: Loose, sidecar: Loose) => void;

function injectedFrom(plain: Loose, change: Change): Loose {
  const injection = decideInjection(plain, 'team-a', testWorld());
  if (injection.kind !== 'patch') throw new Error(`not injected: ${JSON.stringify(injection)}`);
  const pod = applyPatch(plain, injection.operations) as Loose;
  change(pod, pod.spec.initContainers[0]);
  return pod;
}
