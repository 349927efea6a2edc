/** What reads fields, and nothing else. */
export interface FieldLookup {
  /** Compares names without case. Several fields of one name are one value; `null` where there is none. */
  get(name: string): string | null;
}

export type FieldsInit = Fields | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

/**
 * Header fields (RFC 9110, 5) in the order in which they came, names in small letters. Behaves as `Headers` of the Fetch standard:
 * several fields of one name are one value, joined by a comma, and only `Set-Cookie` stays apart. It is plain values,
 * where a `Headers` is an object of the runtime's native part, each access to which is a call across the border.
 */
export class Fields implements FieldLookup, Iterable<[string, string]> {
  #fields: Field[] = [];

  /** @throws TypeError when a name is no token or a value holds what ends a line */
  constructor(init: FieldsInit = []) {
    // A field does not change, it is replaced: the copies share them.
    if (init instanceof Fields) this.#fields = init.#fields.slice();
    else for (const [name, value] of isPairs(init) ? init : Object.entries(init)) this.append(name, value);
  }

  /** How many fields there are. */
  get size(): number {
    return this.#fields.length;
  }

  get(name: string): string | null {
    const key = name.toLowerCase();
    if (key === setCookie && this.has(key)) return this.getSetCookie().join(', ');
    return this.#find(key)?.value ?? null;
  }

  has(name: string): boolean {
    return this.#find(name.toLowerCase()) !== undefined;
  }

  getSetCookie(): readonly string[] {
    return this.#fields.filter(({ name }) => name === setCookie).map(({ value }) => value);
  }

  /** @throws TypeError as the constructor */
  set(name: string, value: string): void {
    this.#put(checkedName(name), checkedValue(value));
  }

  /** @throws TypeError as the constructor */
  append(name: string, value: string): void {
    this.appendParsed(checkedName(name), checkedValue(value));
  }

  /** For a parser that has checked both: `name` is a token in small letters, `value` one that ends no line, without space around it. */
  appendParsed(name: string, value: string): void {
    const before = name === setCookie ? undefined : this.#find(name);
    if (before === undefined) this.#fields.push({ name, value });
    else this.#put(name, `${before.value}, ${value}`);
  }

  delete(name: string): void {
    const key = name.toLowerCase();
    if (this.#find(key) !== undefined) this.deleteWhere((other) => other === key);
  }

  /** Deletes the fields whose name, in small letters, `isUnwanted` says so of. */
  deleteWhere(isUnwanted: (name: string) => boolean): void {
    this.#fields = this.#fields.filter(({ name }) => !isUnwanted(name));
  }

  forEach(visit: (value: string, name: string) => void): void {
    for (const { name, value } of this.#fields) visit(value, name);
  }

  /** A copy, so that the list may change meanwhile. */
  keys(): readonly string[] {
    return this.#fields.map(({ name }) => name);
  }

  *[Symbol.iterator](): Generator<[string, string], void> {
    for (const { name, value } of this.#fields) yield [name, value];
  }

  #find(name: string): Field | undefined {
    for (const field of this.#fields) if (field.name === name) return field;
    return undefined;
  }

  /** In the place of the first of that name. */
  #put(name: string, value: string): void {
    const at = this.#fields.findIndex((field) => field.name === name);
    if (at === -1) {
      this.#fields.push({ name, value });
      return;
    }
    this.#fields[at] = { name, value };
    if (name === setCookie) this.#fields = this.#fields.filter((field, index) => index <= at || field.name !== name);
  }
}

interface Field {
  readonly name: string;
  readonly value: string;
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
