// Code that the types must reject: each line is an error.
import st = require('st-secrets');

// @ts-expect-error: a key is text
void st.Secrets.default.get(1);
// @ts-expect-error: a Secret is not a string
const text: string = st.Secrets.default.getSync('HF_TOKEN');
// @ts-expect-error: a Secret cannot be constructed
new st.Secret();
// @ts-expect-error: a secret is not redacted text for settings
new st.Cipher({ key: st.Secrets.default.getSync('KEY') });
// @ts-expect-error: a value is text or bytes
new st.Cache().set('key', 1);
// @ts-expect-error: a miss is undefined
const hit: string = new st.Cache().get('key');
const getUser = st.cached((id: number) => id, { name: 'f' });
// @ts-expect-error: the function takes a number
getUser('1');
// @ts-expect-error: no such level
st.setLog('loud', null);
export = { text, hit };
