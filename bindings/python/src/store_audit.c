/* Store: the audit trail. */
#include "native.h"

/* _audit_log(event_type, action, target_type, target_id, details): returns the id of the entry. */
PyObject *audit_log(store_object *self, PyObject *args) {
    static const char *const names[5] = {"event_type", "action", "target_type", "target_id", "details"};
    PyObject *given[5];
    const char *text[5];
    Py_ssize_t len[5];
    if (!PyArg_ParseTuple(args, "OOOOO:_audit_log", &given[0], &given[1], &given[2], &given[3], &given[4])) {
        return NULL;
    }
    for (int i = 0; i < 5; i++) {
        if (!(i < 2 ? text_of : text_or_none)(given[i], names[i], &text[i], &len[i])) {
            return NULL;
        }
    }
    int64_t id = 0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self,
               status = st_audit_log(self->handle.pointer, text[0], (size_t)len[0], text[1], (size_t)len[1], text[2],
                                     (size_t)len[2], text[3], (size_t)len[3], text[4], (size_t)len[4], &id, &error));
    return failed(status, &error) ? NULL : PyLong_FromLongLong(id);
}

PyObject *audit_query(store_object *self, PyObject *filter_object) {
    const char *filter;
    Py_ssize_t len;
    if (!text_or_none(filter_object, "filter", &filter, &len)) {
        return NULL;
    }
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_query(self->handle.pointer, filter, (size_t)len, &json, &error));
    return result_of(status, &error, &json, json_text);
}

/* _audit_verify(first, last): returns the report. */
PyObject *audit_verify(store_object *self, PyObject *args) {
    long long first, last;
    if (!PyArg_ParseTuple(args, "LL:_audit_verify", &first, &last)) {
        return NULL;
    }
    st_bytes report = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_verify(self->handle.pointer, first, last, NULL, &report, &error));
    return result_of(status, &error, &report, json_text);
}
