import type { ServerRef } from '#contract/lease.ts';

/** A URL with `{namespace}` and `{server}` in it, for the page of one server. */
export type KeyPageTemplate = string;

const placeholder = /\{([^{}]*)\}/g;

/** Placeholders that nobody knows. */
export function unknownPlaceholders(template: KeyPageTemplate): readonly string[] {
  return [...template.matchAll(placeholder)].map((match) => match[0]).filter((text) => !known.has(text));
}

const known: ReadonlySet<string> = new Set(['{namespace}', '{server}']);

/** Names of both need no escaping in a URL. */
export function keyPageUrlOf(template: KeyPageTemplate, { namespace, name }: ServerRef): string {
  return template.replaceAll('{namespace}', namespace).replaceAll('{server}', name);
}
