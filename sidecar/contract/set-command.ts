import type { ServerRef, Subject } from './lease.ts';

/** `Subject.issuer` of everybody whom the cluster itself vouches for. */
export const kubernetesSubjectIssuer = 'kubernetes';

/**
 * Whom a call is from, and how that user sets the key. A kubeconfig is often of another identity than the MCP client's login, and a key
 * stored for that one is never found.
 */
export function describeSetCommand({ namespace, name }: ServerRef, subject: Pick<Subject, 'issuer' | 'name'>): string {
  const command = `kubectl mcpkeys set ${name} -n ${namespace}`;
  if (subject.issuer === kubernetesSubjectIssuer) {
    return `Here you are ${subject.name} (Kubernetes). Set the key as this user: ${command}`;
  }
  return `Here you are ${subject.name} (${subject.issuer}). Set the key with a token of that login in a file: ${command} --token-file token.txt`;
}
