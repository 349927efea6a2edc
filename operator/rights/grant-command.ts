import { createHash } from 'node:crypto';

import { group } from '#crds/v1alpha1/names.ts';

import type { ClusterUser } from './access-reviews.ts';
import { type Right, rightVerbs } from './verbs.ts';

const serviceAccount = /^system:serviceaccount:([a-z0-9-]+:[a-z0-9.-]+)$/u;
/** Nothing that moves a cursor or that a terminal shows as something else, nor more than a sentence takes. */
const printable = /^[^\p{C}\p{Zl}\p{Zp}]{1,256}$/u;

/** `use mcpservers.mcpkeyring.io/github in namespace team-a`. */
export function describeRight({ verb, namespace, server }: Right): string {
  return `${verb} mcpservers.${group}${server === undefined ? '' : `/${server}`} in namespace ${namespace}`;
}

/** What an administrator of the namespace types to give the right. */
export function grantCommand(user: Pick<ClusterUser, 'username'>, { verb, namespace }: Right): string {
  const { role } = rightVerbs[verb];
  const binding = `${role}-${createHash('sha256').update(user.username).digest('hex').slice(0, 8)}`;
  return `kubectl create rolebinding ${binding} -n ${namespace} --clusterrole ${role} ${subjectFlag(user.username)}`;
}

function subjectFlag(username: string): string {
  const account = serviceAccount.exec(username)?.[1];
  if (account !== undefined) return `--serviceaccount ${account}`;
  if (!printable.test(username)) return '--user <name>';
  return `--user '${username.replaceAll("'", String.raw`'\''`)}'`;
}
