import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import { annotations } from '#crds/v1alpha1/names.ts';
import type { KeyProblem } from '#operator/shared-keys/key-problem.ts';
import { secretsFollowedMax, secretsPerNamespaceMax } from '#operator/shared-keys/referenced-secrets.ts';

import { someOf } from '../conditions.ts';
import type { ObservedServer } from './observe.ts';

/** Whether the key of the organization can be used, and otherwise what its administrator types. Only there where the mode uses one. */
export function sharedKeyUsable(observed: ObservedServer): readonly KeyringCondition[] {
  const { sharedKey, object } = observed;
  if (sharedKey === undefined) return [];
  const { name, namespace = '' } = object.metadata;
  const { operatorNamespace } = observed;
  const type = 'SharedKeyUsable';
  const place = { type, server: name, namespace, secret: sharedKey.secret, operatorNamespace } as const;
  if (sharedKey.problem !== undefined) return [conditionOf(sharedKey.problem, place)];
  const rejected = object.status?.sharedKey?.rejected?.version;
  if (rejected !== undefined && rejected === sharedKey.version) {
    const message = `The upstream answers 401 to the key in Secret ${sharedKey.secret}; put a new one there`;
    return [{ type, status: 'False', reason: 'SharedKeyRejected', message }];
  }
  const message = `Secret ${sharedKey.secret} is in use`;
  return [{ type, status: 'True', reason: 'SecretUsable', message }];
}

/** The same for the key that users without one learn with what there is. */
export function discoveryKeyUsable(observed: ObservedServer): readonly KeyringCondition[] {
  const { discoveryKey, object, operatorNamespace } = observed;
  if (discoveryKey === undefined) return [];
  const { name, namespace = '' } = object.metadata;
  const { secret, problem } = discoveryKey;
  const type = 'DiscoveryKeyUsable';
  if (problem !== undefined)
    return [conditionOf(problem, { type, server: name, namespace, secret, operatorNamespace })];
  return [{ type, status: 'True', reason: 'SecretUsable', message: `Secret ${secret} is in use` }];
}

interface Place {
  readonly type: 'SharedKeyUsable' | 'DiscoveryKeyUsable';
  readonly server: string;
  readonly namespace: string;
  readonly secret: string;
  readonly operatorNamespace: string;
}

function conditionOf(problem: KeyProblem, place: Place): KeyringCondition {
  const { type, secret, namespace, server } = place;
  const unusable = (reason: KeyringCondition['reason'], message: string): KeyringCondition => ({
    type,
    status: 'False',
    reason,
    message,
  });
  switch (problem.kind) {
    case 'unknown':
      return {
        type,
        status: 'Unknown',
        reason: 'SecretNotRead',
        message: `Secret ${secret} was not read yet`,
      };
    case 'tooMany': {
      const bounds = `${secretsPerNamespaceMax} in a namespace, ${secretsFollowedMax} in all`;
      return unusable(
        'TooManySecrets',
        `More Secrets are named by servers than are followed (${bounds}); share one among servers`,
      );
    }
    case 'forbidden':
      return unusable(
        'SecretAccessMissing',
        `The operator may not read Secret ${secret}; who may, gives it the right: ${grantOf(place)}`,
      );
    case 'notFound':
      return unusable('SecretNotFound', `There is no Secret ${secret} in namespace ${namespace}`);
    case 'malformed':
      return unusable('SecretValuesUnusable', `Secret ${secret} cannot be read`);
    case 'notForServer':
      return unusable(
        'SecretNotForServer',
        `Secret ${secret} does not say that it is for this server; who may write it, says so: kubectl annotate secret ${secret} -n ${namespace} ${annotations.forServer}=${server}`,
      );
    case 'headersMissing':
      return unusable(
        'SecretIncomplete',
        `Secret ${secret} has no entry for ${someOf(problem.headers)}; an entry has the name of its header`,
      );
    case 'valuesUnusable':
      return unusable(
        'SecretValuesUnusable',
        `The entries of Secret ${secret} for ${someOf(problem.headers)} are empty or hold characters that cannot stand in a header`,
      );
    default:
      return problem satisfies never;
  }
}

/** The API server lets nobody give a right that they do not have. */
function grantOf({ type, secret, namespace, server, operatorNamespace }: Place): string {
  const role = `mcp-keyring-${type === 'SharedKeyUsable' ? 'key' : 'discovery'}-${server}`;
  return [
    `kubectl create role ${role} -n ${namespace} --verb=get,list,watch --resource=secrets --resource-name=${secret}`,
    `kubectl create rolebinding ${role} -n ${namespace} --role=${role} --serviceaccount=${operatorNamespace}:mcp-keyring-operator`,
  ].join(' && ');
}
