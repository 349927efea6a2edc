/** What reads fields, and nothing else. */
export interface FieldLookup {
  /** Compares names without case. Several fields of one name are one value; `null` where there is none. */
  get(name: string): string | null;
}

export type FieldsInit = Fields | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

/**
 * Header fields (RFC 9110, 5) in the order in which they came, names in small letters. Behaves as `Headers` of the Fetch standard:
 * several fields of one name are one value, joined by a comma, and only `Set-Cookie` stays apart. It is plain strings in two arrays,
 * where a `Headers` is an object of the runtime's native part, each access to which is a call across the border.
 */
export class Fields implements FieldLookup, Iterable<[string, string]> {
  #names: string[];
  #values: string[];

  /** @throws TypeError when a name is no token or a value holds what ends a line */
  constructor(init?: FieldsInit) {
    this.#names = init instanceof Fields ? init.#names.slice() : [];
    this.#values = init instanceof Fields ? init.#values.slice() : [];
    if (init === undefined || init instanceof Fields) return;
    for (const [name, value] of isPairs(init) ? init : Object.entries(init)) this.append(name, value);
  }

  /** How many fields there are. */
  get size(): number {
    return this.#names.length;
  }

  get(name: string): string | null {
    const key = name.toLowerCase();
    const at = this.#names.indexOf(key);
    if (at === -1) return null;
    return key === setCookie ? this.getSetCookie().join(', ') : this.#values[at]!;
  }

  has(name: string): boolean {
    return this.#names.includes(name.toLowerCase());
  }

  getSetCookie(): readonly string[] {
    return this.#values.filter((_value, index) => this.#names[index] === setCookie);
  }

  /** @throws TypeError as the constructor */
  set(name: string, value: string): void {
    const checked = checkedValue(value);
    const key = checkedName(name);
    const at = this.#names.indexOf(key);
    if (at === -1) return this.#push(key, checked);
    this.#values[at] = checked;
    if (key === setCookie) this.#deleteFrom(at + 1, (other) => other === key);
  }

  /** @throws TypeError as the constructor */
  append(name: string, value: string): void {
    this.appendParsed(checkedName(name), checkedValue(value));
  }

  /** For a parser that has checked both: `name` is a token in small letters, `value` one that ends no line, without space around it. */
  appendParsed(name: string, value: string): void {
    const at = name === setCookie ? -1 : this.#names.indexOf(name);
    if (at === -1) this.#push(name, value);
    else this.#values[at] += `, ${value}`;
  }

  delete(name: string): void {
    const key = name.toLowerCase();
    const at = this.#names.indexOf(key);
    if (at !== -1) this.#deleteFrom(at, (other) => other === key);
  }

  /** Deletes the fields whose name, in small letters, is one of those that `isUnwanted` names. */
  deleteWhere(isUnwanted: (name: string) => boolean): void {
    this.#deleteFrom(0, isUnwanted);
  }

  forEach(visit: (value: string, name: string) => void): void {
    for (let index = 0; index < this.#names.length; index += 1) visit(this.#values[index]!, this.#names[index]!);
  }

  /** A copy, so that the list may change meanwhile. */
  keys(): readonly string[] {
    return this.#names.slice();
  }

  *[Symbol.iterator](): Generator<[string, string], void> {
    for (let index = 0; index < this.#names.length; index += 1) yield [this.#names[index]!, this.#values[index]!];
  }

  #push(name: string, value: string): void {
    this.#names.push(name);
    this.#values.push(value);
  }

  #deleteFrom(start: number, isUnwanted: (name: string) => boolean): void {
    let kept = start;
    for (let index = start; index < this.#names.length; index += 1) {
      if (isUnwanted(this.#names[index]!)) continue;
      this.#names[kept] = this.#names[index]!;
      this.#values[kept] = this.#values[index]!;
      kept += 1;
    }
    this.#names.length = kept;
    this.#values.length = kept;
  }
}

const setCookie = 'set-cookie';

function isPairs(init: Exclude<FieldsInit, Fields>): init is Iterable<readonly [string, string]> {
  return Symbol.iterator in init;
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const plainValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const spaceAround = /^[\t ]+|[\t ]+$/g;

function checkedName(name: string): string {
  if (!token.test(name)) throw new TypeError('a field name is a token');
  return name.toLowerCase();
}

/** The message never holds the value, which may be a key. */
function checkedValue(value: string): string {
  if (!plainValue.test(value)) throw new TypeError('a field value holds a character that no field may have');
  return value.replace(spaceAround, '');
}
