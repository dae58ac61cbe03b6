//! protocol_forms
