/** What the scenarios of the conformance suite ask a server for, word for word. Both everything servers answer with these. */

/** One red pixel. */
export const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
/** A sound of one sample. */
export const sound = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

export interface Text {
  readonly type: 'text';
  readonly text: string;
}

export function text(words: string): Text {
  return { type: 'text', text: words };
}

export function say(words: string): { content: Text[] } {
  return { content: [text(words)] };
}

function embedded(uri: string, mimeType: string, words: string) {
  return { type: 'resource' as const, resource: { uri, mimeType, text: words } };
}

const image = { type: 'image' as const, data: pixel, mimeType: 'image/png' };

/** Tools that always answer the same. */
export const constantTools = {
  test_simple_text: [text('This is a simple text response for testing.')],
  test_image_content: [image],
  test_audio_content: [{ type: 'audio' as const, data: sound, mimeType: 'audio/wav' }],
  test_embedded_resource: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  test_multiple_content_types: [
    text('Multiple content types test:'),
    image,
    embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ],
};

export const toolFailure = 'This tool intentionally returns an error for testing';

/** The schema of `json_schema_2020_12_tool`: words of JSON Schema 2020-12 that a list has to carry unchanged. */
export const schemaOf2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object' as const,
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // oxlint-disable-next-line unicorn/no-thenable -- a word of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** Forms of `elicitation/create`, by the tool that asks with them. */
export const forms = {
  test_elicitation: {
    type: 'object' as const,
    properties: { response: { type: 'string' as const, description: "User's response" } },
    required: ['response'],
  },
  /** SEP-1034: a default of every primitive type. */
  test_elicitation_sep1034_defaults: {
    type: 'object' as const,
    properties: {
      name: { type: 'string' as const, default: 'John Doe' },
      age: { type: 'integer' as const, default: 30 },
      score: { type: 'number' as const, default: 95.5 },
      status: { type: 'string' as const, enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean' as const, default: true },
    },
    required: [],
  },
  /** SEP-1330: every way to offer a choice. */
  test_elicitation_sep1330_enums: {
    type: 'object' as const,
    properties: {
      untitledSingle: { type: 'string' as const, enum: ['option1', 'option2', 'option3'] },
      titledSingle: { type: 'string' as const, oneOf: titled('value', 'Option') },
      legacyEnum: {
        type: 'string' as const,
        enum: ['opt1', 'opt2', 'opt3'],
        enumNames: ['Option One', 'Option Two', 'Option Three'],
      },
      untitledMulti: {
        type: 'array' as const,
        minItems: 1,
        maxItems: 3,
        items: { type: 'string' as const, enum: ['option1', 'option2', 'option3'] },
      },
      titledMulti: { type: 'array' as const, minItems: 1, maxItems: 3, items: { anyOf: titled('value', 'Choice') } },
    },
    required: [],
  },
};

function titled(value: string, title: string): { const: string; title: string }[] {
  return ['First', 'Second', 'Third'].map((nth, index) => ({
    const: `${value}${index + 1}`,
    title: `${nth} ${title}`,
  }));
}

export type FormTool = keyof typeof forms;

/** What a form's tool says afterwards. */
export function formOutcome(tool: FormTool, result: { action?: unknown; content?: unknown }): string {
  const start = tool === 'test_elicitation' ? 'User response' : 'Elicitation completed';
  return `${start}: action=${String(result.action)}, content=${JSON.stringify(result.content ?? {})}`;
}

export const resources = {
  'static-text': {
    uri: 'test://static-text',
    mimeType: 'text/plain',
    body: { text: 'This is the content of the static text resource.' },
  },
  'static-binary': { uri: 'test://static-binary', mimeType: 'image/png', body: { blob: pixel } },
  'watched-resource': {
    uri: 'test://watched-resource',
    mimeType: 'text/plain',
    body: { text: 'Watched resource content' },
  },
};

export const template = { name: 'template', uri: 'test://template/{id}/data', mimeType: 'application/json' };

export function templateText(id: string): string {
  return JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
}

function asUser<const Content>(content: Content) {
  return { role: 'user' as const, content };
}

/** Messages of the prompts, by name. */
export const prompts = {
  test_simple_prompt: () => [asUser(text('This is a simple prompt for testing.'))],
  test_prompt_with_image: () => [asUser(image), asUser(text('Please analyze the image above.'))],
  test_prompt_with_arguments: (args: { arg1: string; arg2: string }) => [
    asUser(text(`Prompt with arguments: arg1='${args.arg1}', arg2='${args.arg2}'`)),
  ],
  test_prompt_with_embedded_resource: (args: { resourceUri: string }) => [
    asUser(embedded(args.resourceUri, 'text/plain', 'Embedded resource content for testing.')),
    asUser(text('Please process the embedded resource above.')),
  ],
};
