/** The parts of a CustomResourceDefinition that the reference shows. */

export interface Rule {
  readonly rule: string;
  readonly message: string;
}

export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly pattern?: string;
  readonly 'x-kubernetes-validations'?: readonly Rule[];
}

export interface PrinterColumn {
  readonly name: string;
  readonly jsonPath: string;
  readonly priority?: number;
}

export interface Definition {
  readonly spec: {
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames?: readonly string[] };
    readonly versions: readonly {
      readonly name: string;
      readonly additionalPrinterColumns?: readonly PrinterColumn[];
      readonly selectableFields?: readonly { readonly jsonPath: string }[];
      readonly schema: { readonly openAPIV3Schema: Schema };
    }[];
  };
}

export interface Field {
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

/** Every field below `schema`, depth first, in the order of the file. Conditions are one field: they have a page of their own. */
export function fieldsOf(schema: Schema, prefix = ''): readonly Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const field = { path, schema: property, required: schema.required?.includes(name) === true };
    return [field, ...(name === 'conditions' ? [] : below(property, path))];
  });
}

function below(schema: Schema, path: string): readonly Field[] {
  if (schema.type === 'array') return fieldsOf(schema.items ?? {}, `${path}[]`);
  return fieldsOf(schema, path);
}
