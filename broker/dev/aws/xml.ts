/** The content of an element: text, or child elements in their order. An array repeats its element. */
export type XmlContent = string | number | XmlChildren

export interface XmlChildren {
  readonly [tag: string]: XmlContent | readonly XmlContent[] | undefined
}

export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

/** One element as text. Tags and the namespace are ours and not escaped; the content is. */
export function xmlElement(tag: string, content: XmlContent, namespace?: string): string {
  const attribute = namespace === undefined ? '' : ` xmlns="${namespace}"`
  return `<${tag}${attribute}>${typeof content === 'object' ? children(content) : escaped(String(content))}</${tag}>`
}

function children(content: XmlChildren): string {
  return Object.entries(content)
    .flatMap(([tag, child]) => [child].flat().map((one) => (one === undefined ? '' : xmlElement(tag, one))))
    .join('')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\r': '&#xD;',
}
/** https://www.w3.org/TR/xml/#charsets */
const NO_XML_CHARACTER = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu

function escaped(text: string): string {
  return text
    .replaceAll(NO_XML_CHARACTER, '\u{FFFD}')
    .replaceAll(/[&<>"'\r]/g, (character) => ENTITIES[character] ?? character)
}
