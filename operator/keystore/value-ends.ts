import type { EnvelopeContext } from '#operator/envelope/format.ts';

/** When one value ends at its upstream, in milliseconds since 1970, as far as it is known. */
export interface ValueEnds {
  /** As its user said when they set it. */
  readonly declaredAtMs?: number;
  /** As the value itself says. */
  readonly detectedAtMs?: number;
}

export interface HeaderEnds extends ValueEnds {
  /** Lower case. */
  readonly name: string;
}

interface EndingHeader {
  readonly name: string;
  readonly ends?: ValueEnds | undefined;
}

/** What the context of an envelope says of `headers`: sealed with them, so that nobody prolongs a key by writing another date. */
export function contextEnds(headers: readonly EndingHeader[]): Pick<EnvelopeContext, 'exp' | 'det'> {
  const sorted = headers.map(({ name, ends }) => ({ name: name.toLowerCase(), ends })).toSorted(byName);
  const exp = sorted.map(({ ends }) => ends?.declaredAtMs ?? 0);
  const det = sorted.map(({ ends }) => ends?.detectedAtMs ?? 0);
  return { ...(exp.some(isKnown) && { exp }), ...(det.some(isKnown) && { det }) };
}

/** Those headers of a context of whose end something is known. */
export function endsIn({ slot, exp, det }: Pick<EnvelopeContext, 'slot' | 'exp' | 'det'>): readonly HeaderEnds[] {
  return slot.split(',').flatMap((name, index) => {
    const [declaredAtMs = 0, detectedAtMs = 0] = [exp?.[index], det?.[index]];
    if (declaredAtMs === 0 && detectedAtMs === 0) return [];
    return [{ name, ...(isKnown(declaredAtMs) && { declaredAtMs }), ...(isKnown(detectedAtMs) && { detectedAtMs }) }];
  });
}

/** `header` with what `ends` says of it. */
export function withEnds<Header extends { readonly name: string }>(
  header: Header,
  ends: readonly HeaderEnds[],
): Header & { readonly ends?: ValueEnds } {
  const found = ends.find(({ name }) => name === header.name.toLowerCase());
  if (found === undefined) return header;
  const { name: _name, ...known } = found;
  return { ...header, ends: known };
}

function isKnown(timeMs: number): boolean {
  return timeMs > 0;
}

/** As the slot is sorted. */
function byName(left: EndingHeader, right: EndingHeader): number {
  return left.name < right.name ? -1 : Number(left.name > right.name);
}
