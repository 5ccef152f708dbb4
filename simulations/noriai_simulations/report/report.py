def write_report(result, path, language):
    path.write_text("")
