// What the types accept without Node's types. Compiled, not run.
import st = require('st-secrets');

const secret: st.Secret = st.Secrets.default.getSync('HF_TOKEN');
const bytes: Uint8Array = secret.bytes();
const cached: Uint8Array | undefined = new st.Cache().getBytes('key');
const text: Promise<string> = st.Secrets.default.get('HF_TOKEN', { timeout: 1 }).then((found) => found.text());
st.redactOutput({ streams: [{ write: () => true }] });
// @ts-expect-error: a length is a number
const length: string = bytes.length;
// @ts-expect-error: a key is text
void st.Secrets.default.get(1);
export = { bytes, cached, text, length };
