import type { KeyHeader } from '#operator/keystore/key-store.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';

import type { HeaderToLease } from './granted-body.ts';
import { isFieldValue, splitTemplate } from './header-bytes.ts';

/** Undefined when one of the values cannot be a header: then the stored key is of no use, and none of it goes out. */
export function toLease(
  headers: readonly EffectiveHeader[],
  stored: readonly KeyHeader[],
): readonly HeaderToLease[] | undefined {
  const ready = headers.flatMap((header) => {
    const template = splitTemplate(header.template);
    const value = stored.find(({ name }) => sameHeader(name, header.name))?.value;
    if (template === undefined || value === undefined || !isFieldValue(template, value.bytes)) return [];
    return [{ name: header.name, template, value }];
  });
  return ready.length === headers.length ? ready : undefined;
}
