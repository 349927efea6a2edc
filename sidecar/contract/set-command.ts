import type { ServerRef, Subject } from './lease.ts';

/** `Subject.issuer` of everybody whom the cluster itself vouches for. */
export const kubernetesSubjectIssuer = 'kubernetes';

/** What that user types. With another identity than the kubeconfig's, the key is stored for the login of a token. */
export function setCommandOf({ namespace, name }: ServerRef, { issuer }: Pick<Subject, 'issuer'>): string {
  const command = `kubectl mcpkeys set ${name} -n ${namespace}`;
  return issuer === kubernetesSubjectIssuer ? command : `${command} --token-file token.txt`;
}

/**
 * Whom a call is from, and how that user sets the key. A kubeconfig is often of another identity than the MCP client's login, and a key
 * stored for that one is never found.
 */
export function describeSetCommand(server: ServerRef, subject: Pick<Subject, 'issuer' | 'name'>): string {
  const command = setCommandOf(server, subject);
  return subject.issuer === kubernetesSubjectIssuer
    ? `Here you are ${subject.name} (Kubernetes). Set the key as this user: ${command}`
    : `Here you are ${subject.name} (${subject.issuer}). Set the key with a token of that login in a file: ${command}`;
}
